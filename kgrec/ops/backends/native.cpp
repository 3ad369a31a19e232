// Kernels over a destination-sorted CSR, float32, behind a plain C interface (loaded with ctypes by native.py).
//
// Every output value is one sum in a fixed order, whatever the number of threads: results do not depend on it.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "grouped.h"
#include "hubs.h"
#include "interaction.h"
#include "parallel.h"
#include "words.h"

namespace {

constexpr int kAhead = 16;                 // edges between a prefetch and its use
constexpr int kPiece = 256;                // edges picked out at a time
constexpr int kTypedParts = 16;            // ranges of rows with a sum of their own, whatever the number of threads
constexpr int kBlock = 64;                 // scores compared at a time

// y[b] = beta * sum of weight[e] x[idx[e]] + alpha * added[v], v being row b of ``rows``, or b itself.
struct Product {
  const int64_t* ptr;
  const int32_t* idx;
  const float* weight;
  const float* x;
  const int32_t* x_place;      // where a node's row lies in x; -1: it is zero. Null: node v is row v.
  const float* added;          // null adds nothing
  const int32_t* added_place;  // the same for added
  const int64_t* rows;
  float* y;
  int64_t dim;
  float alpha, beta;
};

template <int WIDTH>
INLINE void add_row(float* sum, const float* row, float w, int width) {
  for (int j = 0; j < (WIDTH == 64 ? 64 : width); j++) sum[j] += w * row[j];
}

// Sum over the edges of v, columns first .. first + WIDTH, where every node has its row.
template <int WIDTH>
INLINE void dense_sum(const Product& p, int64_t v, int64_t first, int width, float* sum) {
  const int64_t end = p.ptr[v + 1];
  for (int64_t e = p.ptr[v]; e < end; e++) {
    if (e + kAhead < end) __builtin_prefetch(p.x + p.idx[e + kAhead] * p.dim + first);
    add_row<WIDTH>(sum, p.x + p.idx[e] * p.dim + first, p.weight[e], width);
  }
}

// The same where few nodes have a row: those edges are picked out first, without a branch that could be guessed wrong.
template <int WIDTH>
INLINE void sparse_sum(const Product& p, int64_t v, int64_t first, int width, float* sum) {
  int32_t place[kPiece];
  float weight[kPiece];
  const int64_t end = p.ptr[v + 1];
  for (int64_t start = p.ptr[v]; start < end; start += kPiece) {
    const int64_t stop = std::min(end, start + kPiece);
    int found = 0;
    for (int64_t e = start; e < stop; e++) {
      const int32_t at = p.x_place[p.idx[e]];
      place[found] = at;
      weight[found] = p.weight[e];
      found += at >= 0;
    }
    for (int k = 0; k < found; k++) {
      // Not only for the cache: without it what GCC 12 makes of the loop is five to seven times as slow, tables in the cache or not.
      if (k + kAhead < found) __builtin_prefetch(p.x + place[k + kAhead] * p.dim + first);
      add_row<WIDTH>(sum, p.x + place[k] * p.dim + first, weight[k], width);
    }
  }
}

template <int WIDTH>
INLINE void columns(const Product& p, int64_t b, int64_t first, int width) {
  const int64_t v = p.rows ? p.rows[b] : b;
  float sum[WIDTH] = {0};
  if (p.x_place) sparse_sum<WIDTH>(p, v, first, width, sum); else dense_sum<WIDTH>(p, v, first, width, sum);
  float* out = p.y + b * p.dim + first;
  const int64_t from = !p.added ? -1 : p.added_place ? p.added_place[v] : v;
  if (from >= 0) {
    const float* more = p.added + from * p.dim + first;
    for (int j = 0; j < width; j++) out[j] = p.alpha * more[j] + p.beta * sum[j];
  } else {
    for (int j = 0; j < width; j++) out[j] = p.beta * sum[j];
  }
}

WIDEST void product_rows(Product p, int64_t low, int64_t high) {
  for (int64_t b = low; b < high; b++) {
    int64_t first = 0;
    for (; first + 64 <= p.dim; first += 64) columns<64>(p, b, first, 64);
    if (first + 32 <= p.dim) { columns<32>(p, b, first, 32); first += 32; }
    if (first + 16 <= p.dim) { columns<16>(p, b, first, 16); first += 16; }
    if (first < p.dim) columns<31>(p, b, first, static_cast<int>(p.dim - first));
  }
}

struct ProductSums {
  Product p;

  int64_t node(int64_t b) const { return p.rows ? p.rows[b] : b; }
  void rows(int, int64_t low, int64_t high) const { product_rows(p, low, high); }

  // Slices are rows of a graph of their own.
  void slices(int, int64_t b, int64_t low, int64_t high, float* out) const {
    const std::vector<int64_t> bounds = slice_bounds(p.ptr, node(b), low, high);
    product_rows({bounds.data(), p.idx, p.weight, p.x, p.x_place, nullptr, nullptr, nullptr, out, p.dim, 0, 1}, 0, high - low);
  }

  void join(int64_t b, float* slices) const {
    const int64_t v = node(b), from = !p.added ? -1 : p.added_place ? p.added_place[v] : v;
    add_slices(slices, slices_of(p.ptr, v), p.dim);
    float* out = p.y + b * p.dim;
    for (int64_t j = 0; j < p.dim; j++) out[j] = p.beta * slices[j] + (from >= 0 ? p.alpha * p.added[from * p.dim + j] : 0);
  }
};

// y[v] = sum over the segments s of row v of vectors[relation[s]] * (sum of weight[e] x[idx[e]] over the edges of s). With ``own``, also
// sums[relation[s]] += own[v] * (the same inner sum).
struct Typed {
  const int64_t* ptr;
  const int64_t* first;
  const int64_t* start;
  const int32_t* relation;
  const int32_t* idx;
  const float* weight;
  const float* x;
  const float* vectors;
  const float* own;  // null: no sums
  float* y;
  int64_t dim;
};

// What the edges begin .. end - 1 of row v give; s is the first one's segment.
template <int WIDTH>
INLINE void typed_columns(const Typed& p, float* sums, int64_t v, int64_t s, int64_t begin, int64_t end, int64_t from, int width,
                          float* out) {
  float total[WIDTH] = {0};
  for (int64_t e = begin; e < end; s++) {
    const int64_t stop = std::min(end, p.start[s + 1]);
    float sum[WIDTH] = {0};
    for (; e < stop; e++) {
      if (e + kAhead < end) __builtin_prefetch(p.x + p.idx[e + kAhead] * p.dim + from);
      add_row<WIDTH>(sum, p.x + p.idx[e] * p.dim + from, p.weight[e], width);
    }
    const int64_t at = p.relation[s] * p.dim + from;
    for (int j = 0; j < width; j++) total[j] += p.vectors[at + j] * sum[j];
    if (p.own) {
      const float* mine = p.own + v * p.dim + from;
      for (int j = 0; j < width; j++) sums[at + j] += mine[j] * sum[j];
    }
  }
  for (int j = 0; j < width; j++) out[from + j] = total[j];
}

INLINE void typed_edges(const Typed& p, float* sums, int64_t v, int64_t s, int64_t begin, int64_t end, float* out) {
  int64_t from = 0;
  for (; from + 64 <= p.dim; from += 64) typed_columns<64>(p, sums, v, s, begin, end, from, 64, out);
  if (from + 32 <= p.dim) { typed_columns<32>(p, sums, v, s, begin, end, from, 32, out); from += 32; }
  if (from < p.dim) typed_columns<31>(p, sums, v, s, begin, end, from, static_cast<int>(p.dim - from), out);
}

WIDEST void typed_rows(Typed p, float* sums, int64_t low, int64_t high) {
  for (int64_t v = low; v < high; v++) typed_edges(p, sums, v, p.first[v], p.ptr[v], p.ptr[v + 1], p.y + v * p.dim);
}

WIDEST void typed_slices(Typed p, float* sums, int64_t v, int64_t low, int64_t high, float* out) {
  const std::vector<int64_t> bounds = slice_bounds(p.ptr, v, low, high);
  for (int64_t slice = 0; slice < high - low; slice++) {
    const int64_t s = std::upper_bound(p.start + p.first[v], p.start + p.first[v + 1], bounds[slice]) - p.start - 1;
    typed_edges(p, sums, v, s, bounds[slice], bounds[slice + 1], out + slice * p.dim);
  }
}

struct TypedSums {
  Typed p;
  float* tables;  // one per part; null where there is no own
  int64_t table;  // numbers of one

  float* of(int part) const { return tables ? tables + part * table : nullptr; }
  void rows(int part, int64_t low, int64_t high) const { typed_rows(p, of(part), low, high); }
  void slices(int part, int64_t v, int64_t low, int64_t high, float* out) const { typed_slices(p, of(part), v, low, high, out); }
  void join(int64_t v, float* slices) const {
    add_slices(slices, slices_of(p.ptr, v), p.dim);
    std::copy(slices, slices + p.dim, p.y + v * p.dim);
  }
};

INLINE float dot(const float* a, const float* b, int64_t dim) {
  float lane[16] = {0};
  int64_t j = 0;
  for (; j + 16 <= dim; j += 16)
    for (int k = 0; k < 16; k++) lane[k] += a[j + k] * b[j + k];
  for (int k = 0; j < dim; j++, k++) lane[k] += a[j] * b[j];
  for (int half = 8; half; half /= 2)
    for (int k = 0; k < half; k++) lane[k] += lane[k + half];
  return lane[0];
}

// For the edges low .. high - 1, the first of them one of v's.
WIDEST void sampled_edges(const int64_t* ptr, const int32_t* idx, const float* a, const float* b, float* out, int64_t dim, int64_t v,
                          int64_t low, int64_t high) {
  for (int64_t e = low; e < high; v++) {
    const float* left = a + v * dim;
    for (const int64_t stop = std::min(high, ptr[v + 1]); e < stop; e++) {
      if (e + kAhead < high) __builtin_prefetch(b + idx[e + kAhead] * dim);
      out[e] = dot(left, b + idx[e] * dim, dim);
    }
  }
}

// exp for arguments up to 0 and above -87, within 2 units in the last place; 0 below. Cody and Waite's reduction, Cephes' polynomial.
INLINE float exp_negative(float x) {
  const float n = std::nearbyint(x * 1.44269504088896341f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float y = 1.9875691500e-4f;
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return x > -87.0f ? y * power : 0.0f;
}

// Softmax over each row's edges. Sums go by 16 lanes, in one order whatever the width of the machine.
WIDEST void softmax_rows(const int64_t* ptr, const float* score, float* out, int64_t low, int64_t high) {
  for (int64_t v = low; v < high; v++) {
    const int64_t start = ptr[v], count = ptr[v + 1] - start;
    const float* in = score + start;
    float* to = out + start;
    float largest = -INFINITY;
    for (int64_t e = 0; e < count; e++) largest = in[e] > largest ? in[e] : largest;
    for (int64_t e = 0; e < count; e++) to[e] = in[e] == in[e] ? exp_negative(std::max(in[e] - largest, -100.0f)) : in[e];
    float lane[16] = {0};
    int64_t e = 0;
    for (; e + 16 <= count; e += 16)
      for (int k = 0; k < 16; k++) lane[k] += to[e + k];
    for (int k = 0; e < count; e++, k++) lane[k] += to[e];
    for (int half = 8; half; half /= 2)
      for (int k = 0; k < half; k++) lane[k] += lane[k + half];
    const float factor = 1.0f / lane[0];
    for (int64_t e = 0; e < count; e++) to[e] *= factor;
  }
}

WIDEST void drop_values(const float* x, float* out, Drop drop, int64_t low, int64_t high) {
  while (low < high) {  // 2^32 values share the upper half of their places
    const int64_t stop = std::min(high, ((low >> 32) + 1) << 32);
    const uint32_t upper = static_cast<uint32_t>(low >> 32);
    for (int64_t i = low; i < stop; i++) {
      uint32_t word = static_cast<uint32_t>(i);
      drop.draw(word, upper);
      out[i] = word >= drop.threshold ? x[i] * drop.scale : 0.0f;
    }
    low = stop;
  }
}

struct Best {
  float* scores;
  int64_t stride, columns, k;
  const int64_t* seen_ptr;  // null: nothing is left out
  const int64_t* seen_idx;
  float* values;
  int64_t* ids;
  uint8_t* broken;
};

// The k highest scores of a row. Columns come in ascending order and only a higher score displaces, so of equals the lower column stays.
WIDEST void best_of_rows(Best p, int64_t low, int64_t high) {
  for (int64_t row = low; row < high; row++) {
    float* score = p.scores + row * p.stride;
    if (p.seen_ptr)
      for (int64_t at = p.seen_ptr[row]; at < p.seen_ptr[row + 1]; at++) score[p.seen_idx[at]] = -INFINITY;
    float* value = p.values + row * p.k;
    int64_t* id = p.ids + row * p.k;
    int64_t found = 0;
    float least = -INFINITY;
    for (int64_t start = 0; start < p.columns; start += kBlock) {
      const int64_t stop = std::min(p.columns, start + kBlock);
      int open = 0;  // a score that is not a number is open, too
      for (int64_t j = start; j < stop; j++) open |= !(score[j] <= least);
      if (!open) continue;
      for (int64_t j = start; j < stop; j++) {
        const float s = score[j];
        if (s <= least) continue;
        if (s != s) { p.broken[row] = 1; continue; }
        int64_t at = found < p.k ? found++ : p.k - 1;
        for (; at > 0 && value[at - 1] < s; at--) { value[at] = value[at - 1]; id[at] = id[at - 1]; }
        value[at] = s;
        id[at] = j;
        if (found == p.k) least = value[p.k - 1];
      }
    }
    for (; found < p.k; found++) { value[found] = -INFINITY; id[found] = -1; }
  }
}

struct Pairs {
  const float* users;
  const float* items;
  const int64_t* user;
  const int64_t* positive;
  const int64_t* negative;
  int64_t dim;
};

// margin[b] = u . (n - p)
WIDEST void pair_margins(Pairs p, float* margin, int64_t low, int64_t high) {
  for (int64_t b = low; b < high; b++) {
    const float* u = p.users + p.user[b] * p.dim;
    const float* above = p.items + p.positive[b] * p.dim;
    const float* below = p.items + p.negative[b] * p.dim;
    margin[b] = dot(u, below, p.dim) - dot(u, above, p.dim);
  }
}

// Adds the gradients of sum of slope[b] margin[b] + user_l2 / 2 |u|^2 + item_l2 / 2 (|p|^2 + |n|^2), pair after pair.
WIDEST void pair_gradients(Pairs p, const float* slope, float user_l2, float item_l2, float* to_users, float* to_items, int64_t count) {
  for (int64_t b = 0; b < count; b++) {
    const float* u = p.users + p.user[b] * p.dim;
    const float* above = p.items + p.positive[b] * p.dim;
    const float* below = p.items + p.negative[b] * p.dim;
    float* to_u = to_users + p.user[b] * p.dim;
    float* to_above = to_items + p.positive[b] * p.dim;
    float* to_below = to_items + p.negative[b] * p.dim;
    const float s = slope[b];
    for (int64_t j = 0; j < p.dim; j++) to_u[j] += s * (below[j] - above[j]) + user_l2 * u[j];
    for (int64_t j = 0; j < p.dim; j++) to_above[j] += item_l2 * above[j] - s * u[j];
    for (int64_t j = 0; j < p.dim; j++) to_below[j] += item_l2 * below[j] + s * u[j];
  }
}

}  // namespace

extern "C" {

// Raised with every change of a signature; native.py loads no other.
int32_t kgrec_native_version() { return 6; }

// Takes GNU OpenMP's GOMP_parallel, omp_get_thread_num and omp_get_num_threads.
void kgrec_share_threads(void* parallel, void* number, void* team) {
  g_parallel = reinterpret_cast<void (*)(void (*)(void*), void*, unsigned, unsigned)>(parallel);
  g_number = reinterpret_cast<int (*)()>(number);
  g_team = reinterpret_cast<int (*)()>(team);
}

// y = beta A x + alpha added, for all rows or the ``count`` ones of ``rows``. See Product for what may be null; added may be x, y neither.
void kgrec_spmm(const int64_t* ptr, const int32_t* idx, const float* weight, const float* x, const int32_t* x_place, const float* added,
                const int32_t* added_place, const int64_t* rows, float* y, int64_t count, int64_t dim, float alpha, float beta,
                int32_t threads) {
  const Product p{ptr, idx, weight, x, x_place, added, added_place, rows, y, dim, alpha, beta};
  std::vector<int64_t> edges;
  if (rows) {
    edges.assign(count + 1, 0);
    for (int64_t b = 0; b < count; b++) edges[b + 1] = edges[b] + ptr[rows[b] + 1] - ptr[rows[b]];
    ptr = edges.data();
  }
  const int useful = useful_threads((ptr[count] + count) * dim, threads);
  on_slices(ProductSums{p}, ptr, cut_slices(ptr, count, useful), dim, useful, threads);
}

// See Typed; sums holds kTypedParts tables (relations x dim) of zeros, to be added up in order.
void kgrec_typed_sum(const int64_t* ptr, const int64_t* first, const int64_t* start, const int32_t* relation, const int32_t* idx,
                     const float* weight, const float* x, const float* vectors, const float* own, float* sums, float* y, int64_t rows,
                     int64_t dim, int64_t relations, int32_t threads) {
  const Typed p{ptr, first, start, relation, idx, weight, x, vectors, own, y, dim};
  const int useful = useful_threads((ptr[rows] + rows) * dim, threads);
  const std::vector<Cut> cut = cut_slices(ptr, rows, own ? kTypedParts : useful);
  on_slices(TypedSums{p, own ? sums : nullptr, relations * dim}, ptr, cut, dim, useful, threads);
}

// out[e] = a[destination of e] . b[idx[e]]
void kgrec_sddmm(const int64_t* ptr, const int32_t* idx, const float* a, const float* b, float* out, int64_t rows, int64_t dim,
                 int32_t threads) {
  in_equal_parts(ptr[rows] - *ptr, dim, threads, [=](int64_t low, int64_t high) {
    const int64_t first = *ptr + low, v = std::upper_bound(ptr, ptr + rows + 1, first) - ptr - 1;
    sampled_edges(ptr, idx, a, b, out, dim, v, first, *ptr + high);
  });
}

// out = softmax of score over the edges of each row
void kgrec_edge_softmax(const int64_t* ptr, const float* score, float* out, int64_t rows, int32_t threads) {
  in_parallel(ptr, rows, 8, threads, [=](int64_t low, int64_t high) { softmax_rows(ptr, score, out, low, high); });
}

// out = x where word (key, place) is at least the threshold, times scale; else 0
void kgrec_dropout(const float* x, float* out, int64_t count, uint32_t key, uint32_t further, uint32_t threshold, float scale,
                   int32_t threads) {
  const Drop drop{key, further, threshold, scale};
  in_equal_parts(count, 2, threads, [=](int64_t low, int64_t high) { drop_values(x, out, drop, low, high); });
}

// out = leaky((e + n) W1 + b1) + leaky((e * n) W2 + b2) after dropout, the weights in x out; see InteractionOutput for the signs
void kgrec_interaction(const float* ego, const float* near, const float* sum_weight, const float* sum_bias, const float* product_weight,
                       const float* product_bias, float slope, uint32_t key, uint32_t further, uint32_t threshold, float scale, float* out,
                       uint8_t* signs, int64_t rows, int64_t in_size, int64_t out_size, int32_t threads) {
  const Interaction p{ego, near, sum_weight, product_weight, in_size, out_size, slope};
  const InteractionOutput to{sum_bias, product_bias, out, signs, {key, further, threshold, scale}};
  in_equal_parts(rows, 2 * in_size * out_size, threads, [&](int64_t low, int64_t high) { blocks(InteractionRows{p, to, low, high}); });
}

// The weights are transposed here: out x in. to_weights takes the gradients of W1, W2 (in x out), b1 and b2, one after the other.
void kgrec_interaction_gradients(const float* ego, const float* near, const float* sum_weight, const float* product_weight, float slope,
                                 float scale, const float* upstream, const uint8_t* signs, float* to_ego, float* to_near, float* to_weights,
                                 int64_t rows, int64_t in_size, int64_t out_size, int32_t threads) {
  const Interaction p{ego, near, sum_weight, product_weight, in_size, out_size, slope};
  const InteractionGradients g{upstream, signs, scale, to_ego, to_near};
  const int64_t size = 2 * (in_size + 1) * out_size;
  std::vector<float> sums(kInteractionParts * size);
  const int useful = useful_threads(rows * 4 * in_size * out_size, threads);
  on_threads(useful, threads, [&](int thread) {
    for (int64_t part = thread; part < kInteractionParts; part += useful) {
      const int64_t low = rows * part / kInteractionParts, high = rows * (part + 1) / kInteractionParts;
      blocks(InteractionGradientRows{p, g, sums.data() + part * size, low, high});
    }
  });
  std::copy_n(sums.data(), size, to_weights);
  for (int part = 1; part < kInteractionParts; part++)
    for (int64_t i = 0; i < size; i++) to_weights[i] += sums[part * size + i];
}

// y[i] = x[i] matrix of i's group; rows of a group lie together, from ptr[group]
void kgrec_grouped_products(const int64_t* ptr, const float* x, const float* matrices, float* y, int64_t count, int64_t in_size,
                            int64_t out_size, int32_t threads) {
  const Groups groups{ptr, count, in_size, out_size};
  in_equal_parts(ptr[count], in_size * out_size, threads,
                 [&](int64_t low, int64_t high) { blocks(GroupedProducts{groups, x, matrices, y, low, high}); });
}

// sums[group] = sum of x[i]^T z[i] over the rows of the group
void kgrec_grouped_sums(const int64_t* ptr, const float* x, const float* z, float* sums, int64_t count, int64_t in_size, int64_t out_size,
                        int32_t threads) {
  const Groups groups{ptr, count, in_size, out_size};
  const int useful = useful_threads(ptr[count] * in_size * out_size, threads);
  on_threads(useful, threads, [&](int thread) { blocks(GroupedSums{groups, x, z, sums, thread, useful}); });
}

// The k best of each row of scores, which lie ``stride`` apart; seen columns are overwritten. broken[row]: a score is not a number.
void kgrec_topk(float* scores, int64_t rows, int64_t stride, int64_t columns, int64_t k, const int64_t* seen_ptr, const int64_t* seen_idx,
                float* values, int64_t* ids, uint8_t* broken, int32_t threads) {
  const Best p{scores, stride, columns, k, seen_ptr, seen_idx, values, ids, broken};
  in_equal_parts(rows, columns, threads, [p](int64_t low, int64_t high) { best_of_rows(p, low, high); });
}

// margin[b] = u . (n - p) of the rows that each pair names
void kgrec_pair_margins(const float* users, const float* items, const int64_t* user, const int64_t* positive, const int64_t* negative,
                        float* margin, int64_t count, int64_t dim, int32_t threads) {
  const Pairs p{users, items, user, positive, negative, dim};
  in_equal_parts(count, 2 * dim, threads, [=](int64_t low, int64_t high) { pair_margins(p, margin, low, high); });
}

// See pair_gradients; to_users and to_items may be one table.
void kgrec_pair_gradients(const float* users, const float* items, const int64_t* user, const int64_t* positive, const int64_t* negative,
                          const float* slope, float user_l2, float item_l2, float* to_users, float* to_items, int64_t count, int64_t dim) {
  pair_gradients({users, items, user, positive, negative, dim}, slope, user_l2, item_l2, to_users, to_items, count);
}

// out = number[b]-th column that is not among a row's; keys hold row * width + (column - position in its row), ascending.
void kgrec_free_columns(const int64_t* rows, const int64_t* number, const int64_t* ptr, const int64_t* keys, int64_t width, int64_t* out,
                        int64_t count, int32_t threads) {
  in_equal_parts(count, 64, threads, [=](int64_t first, int64_t last) {
    for (int64_t b = first; b < last; b++) {
      const int64_t wanted = rows[b] * width + number[b], start = ptr[rows[b]];
      int64_t low = start, high = ptr[rows[b] + 1];
      while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (keys[middle] <= wanted) low = middle + 1; else high = middle;
      }
      out[b] = number[b] + low - start;
    }
  });
}

// Positions of up to ``fanout`` distinct edges of each node, ascending, from edge[offset[n]] on; see kgrec.ops.neighbors.
void kgrec_draw_edges(const int64_t* ptr, const int64_t* nodes, const int64_t* offset, int64_t* edge, int64_t count, int64_t fanout, uint32_t key,
                      uint32_t further, int32_t threads) {
  const Drop words{key, further, 0, 1.0f};
  in_equal_parts(count, 16 * fanout, threads, [=](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; n++) {
      const int64_t start = ptr[nodes[n]], degree = ptr[nodes[n] + 1] - start;
      int64_t *const out = edge + offset[n], drawn = std::min(degree, fanout);
      for (int64_t at = 0; at < drawn; at++) {
        out[at] = at;
        if (degree == drawn) continue;
        const uint64_t place = static_cast<uint64_t>(nodes[n] * fanout + at), bound = degree - fanout + at + 1;
        uint32_t word = static_cast<uint32_t>(place);
        words.draw(word, static_cast<uint32_t>(place >> 32));
        const int64_t found = static_cast<int64_t>(word * bound >> 32);
        out[at] = std::find(out, out + at, found) == out + at ? found : static_cast<int64_t>(bound - 1);
      }
      if (degree > drawn) std::sort(out, out + drawn);
      for (int64_t at = 0; at < drawn; at++) out[at] += start;
    }
  });
}

// Place of each id among the distinct ``found``, then among those met first here, which go to ``fresh``; returns how many these are.
int64_t kgrec_places(const int64_t* found, int64_t known, const int32_t* ids, int64_t count, int64_t* place, int64_t* fresh) {
  int shift = 63;
  while ((int64_t{1} << (64 - shift)) < 2 * (known + count)) shift--;
  const uint64_t mask = (uint64_t{1} << (64 - shift)) - 1;
  struct Entry { int32_t id, place; };
  std::vector<Entry> table(mask + 1, {-1, 0});
  const auto slot = [&](int32_t id) -> Entry& {
    uint64_t at = (static_cast<uint64_t>(id) * 0x9e3779b97f4a7c15u) >> shift;
    while (table[at].id >= 0 && table[at].id != id) at = (at + 1) & mask;
    return table[at];
  };
  for (int64_t n = 0; n < known; n++) {
    const int32_t id = static_cast<int32_t>(found[n]);
    slot(id) = {id, static_cast<int32_t>(n)};
  }
  int64_t met = 0;
  for (int64_t e = 0; e < count; e++) {
    Entry& entry = slot(ids[e]);
    if (entry.id < 0) {
      fresh[met] = ids[e];
      entry = {ids[e], static_cast<int32_t>(known + met++)};
    }
    place[e] = entry.place;
  }
  return met;
}

}  // extern "C"
