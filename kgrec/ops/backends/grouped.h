// Products by groups of rows, each group with a matrix of its own; sizes must be multiples of 16.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "products.h"

namespace {

constexpr int64_t kDeep = 128;  // rows of a group added at a time, so that they stay in the cache for all strips

struct Groups {
  const int64_t* ptr;  // first row of each group, and the number of rows last
  int64_t count, in, out;
};

// y[i] = x[i] matrix of i's group, for the rows low .. high - 1
struct GroupedProducts {
  Groups groups;
  const float* x;
  const float* matrices;  // in x out each
  float* y;
  int64_t low, high;

  template <class S>
  INLINE void blocks() const {
    const int64_t in = groups.in, out = groups.out;
    std::vector<float> room(S::kHigh * (in + out));
    for (int64_t group = 0; group < groups.count; group++) {
      const int64_t first = std::max(low, groups.ptr[group]), last = std::min(high, groups.ptr[group + 1]);
      const float* matrix = matrices + group * in * out;
      Ahead nothing;
      for (int64_t start = first; start < last; start += kBlockRows) {
        const int64_t rows = std::min(kBlockRows, last - start), whole = rows / S::kHigh * S::kHigh;
        multiply<S>(x + start * in, in, 1, matrix, y + start * out, whole, in, out, false, nothing);
        if (whole == rows) continue;
        float* const rest = room.data() + S::kHigh * in;
        std::copy(x + (start + whole) * in, x + (start + rows) * in, room.data());
        multiply<S>(room.data(), in, 1, matrix, rest, S::kHigh, in, out, false, nothing);
        std::copy_n(rest, (rows - whole) * out, y + (start + whole) * out);
      }
    }
  }
};

// sums[g] = sum over the rows i of group g of x[i]^T z[i], in their order; strips of kHigh of its rows, ``of`` threads taking turns.
struct GroupedSums {
  Groups groups;
  const float* x;
  const float* z;
  float* sums;  // in x out each
  int64_t thread, of;

  template <class S>
  INLINE void blocks() const {
    const int64_t in = groups.in, out = groups.out;
    for (int64_t group = 0; group < groups.count; group++) {
      const int64_t first = groups.ptr[group], last = groups.ptr[group + 1];
      float* const sum = sums + group * in * out;
      Ahead nothing;
      for (int64_t start = first; start < last; start += kDeep)
        for (int64_t i = thread * S::kHigh; i < in; i += of * S::kHigh)
          multiply<S>(x + start * in + i, 1, in, z + start * out, sum + i * out, S::kHigh, std::min(kDeep, last - start), out,
                      start > first, nothing);
      if (first == last)
        for (int64_t i = thread * S::kHigh; i < in; i += of * S::kHigh) std::fill_n(sum + i * out, S::kHigh * out, 0.0f);
    }
  }
};

}  // namespace
