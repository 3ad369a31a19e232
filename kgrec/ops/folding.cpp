// The mean of all items, weighted by a softmax of their products with a direction, in one pass over
// their vectors: behind a plain C interface (loaded with ctypes by folding.py).

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define KGREC_CLONES __attribute__((target_clones("avx512f", "arch=haswell", "default")))
#else
#define KGREC_CLONES
#endif
#define KGREC_INLINE inline __attribute__((always_inline))

namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kTile = 64;    // items whose vectors stay near between their product and their sum
constexpr float kNone = -1e30f;  // product of what does not count
constexpr float kLeast = -87;    // below which a weight is 0

typedef float Floats __attribute__((vector_size(4 * kLanes)));
typedef int32_t Ints __attribute__((vector_size(4 * kLanes)));

KGREC_INLINE void load(const float* from, Floats& to) { std::memcpy(&to, from, sizeof to); }

#ifdef __clang__
#define KGREC_PICKED(A, B, ...) __builtin_shufflevector(A, B, __VA_ARGS__)
#else
#define KGREC_PICKED(A, B, ...) __builtin_shuffle(A, B, Ints{__VA_ARGS__})
#endif

// The sums of the lanes of 16 vectors, in their order: 8 of each with 8 of another, then 4, 2 and 1.
KGREC_INLINE void add_lanes(Floats* v, Floats& found) {
  for (int at = 0; at < 8; ++at)
    v[at] = KGREC_PICKED(v[at], v[at + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
            KGREC_PICKED(v[at], v[at + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  for (int at = 0; at < 4; ++at)
    v[at] = KGREC_PICKED(v[at], v[at + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
            KGREC_PICKED(v[at], v[at + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
  for (int at = 0; at < 2; ++at)
    v[at] = KGREC_PICKED(v[at], v[at + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
            KGREC_PICKED(v[at], v[at + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  found = KGREC_PICKED(v[0], v[1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
          KGREC_PICKED(v[0], v[1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
}

// e^x of x <= 0 to 2 units in the last place, 0 below kLeast: 2^n e^r, n whole, e^r by Cephes'
// polynomial.
KGREC_INLINE void exponential(Floats& x) {
  const Floats zero = {};
  const Floats held = x < kLeast ? zero + kLeast : x;
  const Floats whole = (held * 1.44269504f + 12582912.0f) - 12582912.0f;  // rounded by its last digit
  const Floats rest = (held - whole * 0.693359375f) + whole * 2.12194440e-4f;
  Floats sum = zero + 1.9875691500e-4f;
  sum = sum * rest + 1.3981999507e-3f;
  sum = sum * rest + 8.3334519073e-3f;
  sum = sum * rest + 4.1665795894e-2f;
  sum = sum * rest + 1.6666665459e-1f;
  sum = sum * rest + 5.0000001201e-1f;
  sum = sum * rest * rest + rest + 1.0f;
  const Ints bits = (__builtin_convertvector(whole, Ints) + 127) << 23;
  Floats power;
  std::memcpy(&power, &bits, sizeof power);
  x = x < kLeast ? zero : sum * power;
}

}  // namespace

extern "C" {

int32_t kgrec_folding_version() { return 1; }

// Writes the mean of `items` (rows of `dim` numbers, a multiple of 16), and returns 0; 1 without
// memory. `out` are rows, ascending, that do not count.
KGREC_CLONES int32_t kgrec_folding_mean(const float* items, int64_t count, int64_t dim, const float* direction,
                                        const int64_t* out, int64_t out_count, double* mean) {
  try {
    std::vector<float> last(kTile * dim);
    std::fill(mean, mean + dim, 0.0);
    double total = 0;
    float top = kNone;
    for (int64_t start = 0; start < count; start += kTile) {
      const float* tile = items + start * dim;
      const int64_t own = std::min(kTile, count - start);
      if (own < kTile) {
        std::copy(tile, tile + own * dim, last.begin());
        tile = last.data();
      }

      Floats weights[kTile / kLanes];
      for (int64_t part = 0; part < kTile / kLanes; ++part) {
        Floats sums[kLanes] = {};
        for (int64_t at = 0; at < dim; at += kLanes) {
          Floats user, item;
          load(direction + at, user);
          for (int64_t row = 0; row < kLanes; ++row) {
            load(tile + (part * kLanes + row) * dim + at, item);
            sums[row] += item * user;
          }
        }
        add_lanes(sums, weights[part]);
      }

      float* each = reinterpret_cast<float*>(weights);
      for (int64_t row = own; row < kTile; ++row) each[row] = kNone;
      for (; out_count && *out < start + own; ++out, --out_count) each[*out - start] = kNone;

      const float largest = *std::max_element(each, each + kTile);
      if (largest > top) {
        const double smaller = std::exp(static_cast<double>(top) - largest);
        total *= smaller;
        for (int64_t at = 0; at < dim; ++at) mean[at] *= smaller;
        top = largest;
      }
      Floats sum = {};
      for (auto& weight : weights) {
        weight -= top;
        exponential(weight);
        sum += weight;
      }
      for (int64_t lane = 0; lane < kLanes; ++lane) total += sum[lane];
      for (int64_t at = 0; at < dim; at += kLanes) {
        Floats added[4] = {};
        Floats item;
        for (int64_t row = 0; row < kTile; row += 4)
          for (int64_t beside = 0; beside < 4; ++beside) {
            load(tile + (row + beside) * dim + at, item);
            added[beside] += each[row + beside] * item;
          }
        const Floats own_sum = (added[0] + added[1]) + (added[2] + added[3]);
        for (int64_t lane = 0; lane < kLanes; ++lane) mean[at + lane] += own_sum[lane];
      }
    }
    for (int64_t at = 0; at < dim; ++at) mean[at] /= total;
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}
}
