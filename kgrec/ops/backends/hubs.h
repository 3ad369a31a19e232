// Hubs: rows of so many edges that one thread should not sum them alone. They are cut into slices.
//
// Where the slices begin depends on the row alone, and their sums are added up in order: the number of threads changes no bit.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "parallel.h"

namespace {

constexpr int64_t kHub = 8192;    // a row of more edges is a hub
constexpr int64_t kSlice = 1024;  // edges of a slice

bool is_hub(const int64_t* ptr, int64_t row) { return ptr[row + 1] - ptr[row] > kHub; }

// The first hub of the rows row .. end - 1, or end. Rows that make no hub together have none among them.
int64_t next_hub(const int64_t* ptr, int64_t row, int64_t end) {
  for (int64_t stop; row < end; row = stop) {
    stop = std::min(row + 64, end);
    if (ptr[stop] - ptr[row] <= kHub) continue;
    for (; row < stop; row++)
      if (is_hub(ptr, row)) return row;
  }
  return end;
}

int64_t slices_of(const int64_t* ptr, int64_t row) { return (ptr[row + 1] - ptr[row] + kSlice - 1) / kSlice; }

// First edges of some of a row's slices, and the end of the last.
std::vector<int64_t> slice_bounds(const int64_t* ptr, int64_t row, int64_t low, int64_t high) {
  std::vector<int64_t> bounds(high - low + 1);
  for (int64_t slice = low; slice <= high; slice++) bounds[slice - low] = std::min(ptr[row] + slice * kSlice, ptr[row + 1]);
  return bounds;
}

// Where work may be cut: before a row, or before a slice of a hub that is not its first.
struct Cut { int64_t row, slice; };

// Bounds of ``parts`` ranges with about equal numbers of edges.
std::vector<Cut> cut_slices(const int64_t* ptr, int64_t rows, int parts) {
  const std::vector<int64_t> after = cut_rows(ptr, rows, parts);
  const int64_t share = (ptr[rows] + rows) / parts;
  std::vector<Cut> cut(parts + 1);
  for (int part = 0; part <= parts; part++) {
    cut[part] = {after[part], 0};
    const int64_t row = after[part] - 1;  // where the share ends
    if (part == 0 || part == parts || row < 0 || !is_hub(ptr, row)) continue;
    const int64_t slice = (share * part - ptr[row] - row) / kSlice;
    if (slice > 0 && slice < slices_of(ptr, row)) cut[part] = {row, slice};
  }
  return cut;
}

// Runs ``sums`` on the ranges between cuts, with up to ``workers`` of them at a time. It has
//   rows(part, low, high): sum the rows low .. high - 1, none a hub;
//   slices(part, row, low, high, out): write the sums of some of a hub's slices, ``dim`` numbers each, to out;
//   join(row, slices): add a hub's slices up; they may be overwritten.
template <class Sums>
void on_slices(const Sums& sums, const int64_t* ptr, const std::vector<Cut>& cut, int64_t dim, int workers, int threads) {
  const int parts = static_cast<int>(cut.size()) - 1;
  const auto goes_on = [&](int part) { return cut[part].slice && cut[part + 1].slice && cut[part].row == cut[part + 1].row; };
  std::vector<int64_t> place(parts + 1, 0);  // where the slices of the hub that a cut goes through are kept
  int64_t size = 0;
  for (int part = 1; part < parts; part++) {
    if (goes_on(part - 1)) {
      place[part] = place[part - 1];
    } else if (cut[part].slice) {
      place[part] = size;
      size += slices_of(ptr, cut[part].row) * dim;
    }
  }
  std::vector<float> kept(size);
  const auto run = [&](int part) {
    Cut low = cut[part];
    const Cut high = cut[part + 1];
    if (low.slice) {
      float* out = kept.data() + place[part] + low.slice * dim;
      sums.slices(part, low.row, low.slice, goes_on(part) ? high.slice : slices_of(ptr, low.row), out);
      if (goes_on(part)) return;
      low.row++;
    }
    for (int64_t hub; low.row < high.row; low.row = hub + 1) {
      hub = next_hub(ptr, low.row, high.row);
      sums.rows(part, low.row, hub);
      if (hub == high.row) break;
      std::vector<float> own(slices_of(ptr, hub) * dim);
      sums.slices(part, hub, 0, slices_of(ptr, hub), own.data());
      sums.join(hub, own.data());
    }
    if (high.slice) sums.slices(part, high.row, 0, high.slice, kept.data() + place[part + 1]);
  };
  on_threads(workers, threads, [&](int worker) { for (int part = worker; part < parts; part += workers) run(part); });
  for (int part = 1; part < parts; part++)
    if (cut[part].slice && !goes_on(part)) sums.join(cut[part].row, kept.data() + place[part]);
}

// Adds the sums of a hub's slices up in their order; the first becomes the sum of all.
void add_slices(float* slices, int64_t count, int64_t dim) {
  for (int64_t slice = 1; slice < count; slice++)
    for (int64_t j = 0; j < dim; j++) slices[j] += slices[slice * dim + j];
}

}  // namespace
