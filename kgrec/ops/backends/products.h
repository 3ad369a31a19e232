// Products of small dense matrices that lie in the cache, in vectors as wide as the machine's.

#pragma once

#include <algorithm>
#include <cstdint>

#include "parallel.h"

namespace {

constexpr int64_t kBlockRows = 32;  // a multiple of every Shape's kHigh
constexpr int kLine = 64;           // bytes of a cache line
constexpr int kLinesAhead = 8;      // fetched of each range with every tile

// What a product holds in registers: kHigh rows by kAcross vectors of kLane values.
template <int LANE, int HIGH, int ACROSS>
struct Shape {
  static constexpr int kLane = LANE, kHigh = HIGH, kAcross = ACROSS;
  typedef float Vector __attribute__((vector_size(4 * LANE), aligned(4), may_alias));
  typedef int32_t Mask __attribute__((vector_size(4 * LANE)));
  typedef uint32_t Words __attribute__((vector_size(4 * LANE)));
  typedef uint8_t Bits __attribute__((vector_size(LANE), aligned(1), may_alias));

  static INLINE Vector& at(float* place) { return *reinterpret_cast<Vector*>(place); }
  static INLINE const Vector& at(const float* place) { return *reinterpret_cast<const Vector*>(place); }
  static INLINE Bits& at(uint8_t* place) { return *reinterpret_cast<Bits*>(place); }
  static INLINE const Bits& at(const uint8_t* place) { return *reinterpret_cast<const Bits*>(place); }
};

// Memory that is wanted soon, fetched bit by bit so that it comes while products are computed.
class Ahead {
 public:
  INLINE void add(const void* first, int64_t bytes) {
    next_[ranges_] = static_cast<const char*>(first);
    end_[ranges_++] = static_cast<const char*>(first) + bytes;
  }

  INLINE void fetch() {
    for (int range = 0; range < ranges_; range++) {
      const char* const stop = std::min(end_[range], next_[range] + kLinesAhead * kLine);
      for (; next_[range] < stop; next_[range] += kLine) __builtin_prefetch(next_[range]);
    }
  }

 private:
  const char* next_[6];
  const char* end_[6];
  int ranges_ = 0;
};

// c (+)= a b for kHigh rows and ``ACROSS`` vectors of columns. a's rows lie a_row apart, its columns a_column; b's and c's rows, columns.
template <class S, int ACROSS>
INLINE void tile(const float* a, int64_t a_row, int64_t a_column, const float* b, float* c, int64_t depth, int64_t columns, bool add) {
  typename S::Vector sum[S::kHigh][ACROSS];
#pragma GCC unroll 8
  for (int i = 0; i < S::kHigh; i++)
#pragma GCC unroll 8
    for (int j = 0; j < ACROSS; j++) sum[i][j] = add ? S::at(c + i * columns + j * S::kLane) : typename S::Vector{};
  for (int64_t k = 0; k < depth; k++) {
    typename S::Vector right[ACROSS];
#pragma GCC unroll 8
    for (int j = 0; j < ACROSS; j++) right[j] = S::at(b + k * columns + j * S::kLane);
#pragma GCC unroll 8
    for (int i = 0; i < S::kHigh; i++) {
      const float left = a[i * a_row + k * a_column];
#pragma GCC unroll 8
      for (int j = 0; j < ACROSS; j++) sum[i][j] += left * right[j];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < S::kHigh; i++)
#pragma GCC unroll 8
    for (int j = 0; j < ACROSS; j++) S::at(c + i * columns + j * S::kLane) = sum[i][j];
}

// c (+)= a b, ``rows`` being a multiple of kHigh and ``columns`` of kLane.
template <class S>
INLINE void multiply(const float* a, int64_t a_row, int64_t a_column, const float* b, float* c, int64_t rows, int64_t depth,
                     int64_t columns, bool add, Ahead& ahead) {
  constexpr int kWidth = S::kLane * S::kAcross;
  for (int64_t j = 0; j < columns; j += kWidth)
    for (int64_t i = 0; i < rows; i += S::kHigh) {
      ahead.fetch();
      if (j + kWidth <= columns) tile<S, S::kAcross>(a + i * a_row, a_row, a_column, b + j, c + i * columns + j, depth, columns, add);
      else tile<S, 1>(a + i * a_row, a_row, a_column, b + j, c + i * columns + j, depth, columns, add);
    }
}

#ifdef KGREC_X86_LEVELS
template <class Work>
__attribute__((target("arch=x86-64-v4"))) void blocks_v4(const Work& work) { work.template blocks<Shape<16, 8, 2>>(); }

template <class Work>
__attribute__((target("arch=x86-64-v3"))) void blocks_v3(const Work& work) { work.template blocks<Shape<8, 4, 2>>(); }
#endif

// Works in vectors as wide as the machine's: the compiler takes wider ones apart in memory.
template <class Work>
void blocks(const Work& work) {
#ifdef KGREC_X86_LEVELS
  if (__builtin_cpu_supports("x86-64-v4")) return blocks_v4(work);
  if (__builtin_cpu_supports("x86-64-v3")) return blocks_v3(work);
#endif
  work.template blocks<Shape<4, 4, 2>>();
}

}  // namespace
