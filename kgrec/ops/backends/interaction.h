// KGAT's bi-interaction, leaky((e + n) W1 + b1) + leaky((e * n) W2 + b2), and its gradients, for sizes that are multiples of 16.
//
// A block of rows is read once, and all that follows from it is computed while it lies in the cache.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "products.h"
#include "words.h"

namespace {

constexpr int kInteractionParts = 16;  // ranges of rows with sums of their own, whatever the number of threads

struct Interaction {
  const float* ego;
  const float* near;
  const float* sum_weight;  // in x out; transposed for the gradients
  const float* product_weight;
  int64_t in, out;
  float slope;
};

struct InteractionOutput {
  const float* sum_bias;
  const float* product_bias;
  float* out;
  uint8_t* signs;  // bit 0: the value by the sum is positive; bit 1: that by the product; bit 2: what they give is not dropped
  Drop drop;
};

struct InteractionGradients {
  const float* upstream;
  const uint8_t* signs;
  float scale;  // of what is not dropped
  float* to_ego;
  float* to_near;
};

// What a block is computed in.
struct InteractionRoom {
  std::vector<float> all;
  float *sum, *product, *to_sum, *to_product;  // kBlockRows x in
  float *by_sum, *by_product;                  // kBlockRows x out

  InteractionRoom(int64_t in, int64_t out) : all(kBlockRows * (4 * in + 2 * out)) {
    float** const wide[] = {&sum, &product, &to_sum, &to_product};
    float* next = all.data();
    for (float** place : wide) { *place = next; next += kBlockRows * in; }
    by_sum = next;
    by_product = next + kBlockRows * out;
  }
};

// e + n and e * n of a block; zeros up to a multiple of kHigh rows, which is returned.
template <class S>
INLINE int64_t combine(const Interaction& p, int64_t start, int64_t rows, const InteractionRoom& room) {
  const float* e = p.ego + start * p.in;
  const float* n = p.near + start * p.in;
  const int64_t filled = rows * p.in, high = (rows + S::kHigh - 1) / S::kHigh * S::kHigh;
  for (int64_t i = 0; i < filled; i += S::kLane) {
    S::at(room.sum + i) = S::at(e + i) + S::at(n + i);
    S::at(room.product + i) = S::at(e + i) * S::at(n + i);
  }
  std::fill(room.sum + filled, room.sum + high * p.in, 0.0f);
  std::fill(room.product + filled, room.product + high * p.in, 0.0f);
  return high;
}

template <class S>
INLINE void interaction_blocks(const Interaction& p, const InteractionOutput& to, int64_t low, int64_t high) {
  using Vector = typename S::Vector;
  using Mask = typename S::Mask;
  using Words = typename S::Words;
  const InteractionRoom room(p.in, p.out);
  Words places;
  for (int lane = 0; lane < S::kLane; lane++) places[lane] = lane;
  for (int64_t start = low; start < high; start += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, high - start), coming = std::min(kBlockRows, high - start - rows);
    const int64_t whole = combine<S>(p, start, rows, room);
    float* out = to.out + start * p.out;
    uint8_t* signs = to.signs + start * p.out;
    Ahead ahead;
    ahead.add(p.ego + (start + rows) * p.in, coming * p.in * 4);
    ahead.add(p.near + (start + rows) * p.in, coming * p.in * 4);
    ahead.add(out, rows * p.out * 4);
    ahead.add(signs, rows * p.out);
    multiply<S>(room.sum, p.in, 1, p.sum_weight, room.by_sum, whole, p.in, p.out, false, ahead);
    multiply<S>(room.product, p.in, 1, p.product_weight, room.by_product, whole, p.in, p.out, false, ahead);
    for (int64_t i = 0; i < rows * p.out; i += p.out)
      for (int64_t j = 0; j < p.out; j += S::kLane) {
        const Vector x = S::at(room.by_sum + i + j) + S::at(to.sum_bias + j);
        const Vector y = S::at(room.by_product + i + j) + S::at(to.product_bias + j);
        const int64_t place = start * p.out + i + j;
        Words word = places + static_cast<uint32_t>(place);
        to.drop.draw(word, static_cast<uint32_t>(place >> 32));
        const Mask kept = word >= to.drop.threshold;
        S::at(out + i + j) = kept ? ((x > 0 ? x : p.slope * x) + (y > 0 ? y : p.slope * y)) * to.drop.scale : Vector{};
        S::at(signs + i + j) = __builtin_convertvector(((x > 0) & 1) | ((y > 0) & 2) | (kept & 4), typename S::Bits);
      }
  }
}

template <class S>
INLINE void add_rows(const float* table, int64_t rows, int64_t columns, float* sums) {
  for (int64_t j = 0; j < columns; j += S::kLane) {
    typename S::Vector sum = S::at(sums + j);
    for (int64_t i = 0; i < rows; i++) sum += S::at(table + i * columns + j);
    S::at(sums + j) = sum;
  }
}

template <class S>
INLINE void interaction_gradient_blocks(const Interaction& p, const InteractionGradients& g, float* sums, int64_t low, int64_t high) {
  using Vector = typename S::Vector;
  using Mask = typename S::Mask;
  const InteractionRoom room(p.in, p.out);
  float* const bias = sums + 2 * p.in * p.out;
  for (int64_t start = low; start < high; start += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, high - start), coming = std::min(kBlockRows, high - start - rows);
    const int64_t whole = combine<S>(p, start, rows, room), filled = rows * p.out;
    const float* upstream = g.upstream + start * p.out;
    const uint8_t* signs = g.signs + start * p.out;
    for (int64_t i = 0; i < filled; i += S::kLane) {
      const Mask sign = __builtin_convertvector(S::at(signs + i), Mask);
      const Vector above = (sign & 4) != 0 ? g.scale * S::at(upstream + i) : Vector{}, below = p.slope * above;
      S::at(room.by_sum + i) = (sign & 1) != 0 ? above : below;
      S::at(room.by_product + i) = (sign & 2) != 0 ? above : below;
    }
    std::fill(room.by_sum + filled, room.by_sum + whole * p.out, 0.0f);
    std::fill(room.by_product + filled, room.by_product + whole * p.out, 0.0f);
    float* to_ego = g.to_ego + start * p.in;
    float* to_near = g.to_near + start * p.in;
    Ahead ahead;
    ahead.add(to_ego, rows * p.in * 4);
    ahead.add(to_near, rows * p.in * 4);
    ahead.add(p.ego + (start + rows) * p.in, coming * p.in * 4);
    ahead.add(p.near + (start + rows) * p.in, coming * p.in * 4);
    ahead.add(upstream + filled, coming * p.out * 4);
    ahead.add(signs + filled, coming * p.out);
    add_rows<S>(room.by_sum, rows, p.out, bias);
    add_rows<S>(room.by_product, rows, p.out, bias + p.out);
    multiply<S>(room.sum, 1, p.in, room.by_sum, sums, p.in, rows, p.out, true, ahead);
    multiply<S>(room.product, 1, p.in, room.by_product, sums + p.in * p.out, p.in, rows, p.out, true, ahead);
    multiply<S>(room.by_sum, p.out, 1, p.sum_weight, room.to_sum, whole, p.out, p.in, false, ahead);
    multiply<S>(room.by_product, p.out, 1, p.product_weight, room.to_product, whole, p.out, p.in, false, ahead);
    for (int64_t i = 0; i < rows * p.in; i += S::kLane) {
      const Vector to_sum = S::at(room.to_sum + i), to_product = S::at(room.to_product + i);
      S::at(to_ego + i) = to_sum + to_product * S::at(p.near + start * p.in + i);
      S::at(to_near + i) = to_sum + to_product * S::at(p.ego + start * p.in + i);
    }
  }
}

struct InteractionRows {
  Interaction p;
  InteractionOutput to;
  int64_t low, high;

  template <class S>
  INLINE void blocks() const { interaction_blocks<S>(p, to, low, high); }
};

struct InteractionGradientRows {
  Interaction p;
  InteractionGradients g;
  float* sums;
  int64_t low, high;

  template <class S>
  INLINE void blocks() const { interaction_gradient_blocks<S>(p, g, sums, low, high); }
};

}  // namespace
