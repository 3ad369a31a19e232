// Columns that may be among the best k by inner product, from vectors rounded to 8 bits: behind a
// plain C interface (loaded with ctypes by pruning.py).
//
// With x = s q + e the vector of an item and v = t p + o the user's, p and q whole numbers,
// v.x - s t p.q = v.e + o.(s q), which is at most |v||e| + |o| s |q|. Adding d products in float32, in
// any order, takes at most d units of |v||x| more. What cannot reach the k-th best of the lower ends is
// left out.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <new>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__)
#define KGREC_AVX2
#include <immintrin.h>
#endif

namespace {

constexpr int64_t kItems = 16;        // of a tile, each with four dimensions in a row
constexpr int64_t kAhead = 2048;      // bytes that are fetched before they are needed
constexpr double kTop = 8191;         // of the user's whole numbers
constexpr double kUnit = 0x1p-24;     // of rounding to float32
constexpr double kLeast = 1e-34;      // more than is lost by products too small for a float32
constexpr double kSmallest = 1e-20;   // lengths and scores for which all this holds
constexpr double kLargest = 1e30;
constexpr float kHidden = -std::numeric_limits<float>::infinity();

// Item vectors as whole numbers; how far they are from the vectors, at most.
struct Table {
  const int8_t* tiles;   // (blocks, groups, kItems, 4)
  const float* scales;   // (blocks * kItems), 0 behind the last item
  double error;          // |e| / s
  double length;         // |q|
  double lost;           // |x| where the scale is 0
  double longest;        // |x|
  int64_t blocks;
  int64_t groups;
  int64_t dim;
};

// A user's vector as whole numbers; a score is within scale * slack + least of scale * step * p.q.
struct Query {
  std::vector<int16_t> numbers;
  float step;
  float slack;
  float least;
};

struct Bounds {
  std::vector<float> lower;       // of every column
  std::vector<float> best_lower;  // of every block, hidden ones too
  std::vector<float> best_upper;
};

double length_of(const double* values, int64_t count) {
  double sum = 0;
  for (int64_t at = 0; at < count; ++at) sum += values[at] * values[at];
  return std::sqrt(sum);
}

// Whether the bounds hold for a vector; then with the query.
bool made(const Table& table, const float* vector, Query& query) {
  std::vector<double> left(vector, vector + table.dim);
  const double size = length_of(left.data(), table.dim);
  if (!(size > kSmallest && size < kLargest && size * table.longest < kLargest)) return false;

  double top = 0;
  for (const double value : left) top = std::max(top, std::fabs(value));
  query.step = static_cast<float>(top / kTop);
  query.numbers.assign(4 * table.groups, 0);
  for (int64_t at = 0; at < table.dim; ++at) {
    query.numbers[at] = static_cast<int16_t>(std::lrint(left[at] / query.step));
    left[at] -= query.numbers[at] * static_cast<double>(query.step);
  }
  const double off = length_of(left.data(), table.dim);
  const double units = (table.dim + 16) * kUnit * 1.01;  // and what is rounded here
  const double slack = size * table.error + off * table.length + (size + off) * (table.length + table.error) * units;
  query.slack = static_cast<float>(slack * (1 + 1e-5));
  query.least = static_cast<float>(size * table.lost * 1.01 + kLeast);
  return true;
}

#ifdef KGREC_AVX2

__attribute__((target("avx2"))) float largest(__m256 a, __m256 b) {
  const __m256 eight = _mm256_max_ps(a, b);
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

__attribute__((target("avx2"))) void bound(const Table& table, const Query& query, Bounds& bounds) {
  const __m256 step = _mm256_set1_ps(query.step);
  const __m256 slack = _mm256_set1_ps(query.slack);
  const __m256 least = _mm256_set1_ps(query.least);
  const int8_t* tile = table.tiles;
  for (int64_t block = 0; block < table.blocks; ++block) {
    __m256i sums[4];
    for (auto& sum : sums) sum = _mm256_setzero_si256();
    for (int64_t group = 0; group < table.groups; ++group, tile += 4 * kItems) {
      _mm_prefetch(reinterpret_cast<const char*>(tile) + kAhead, _MM_HINT_T0);
      int64_t four;
      std::memcpy(&four, query.numbers.data() + 4 * group, sizeof four);
      const __m256i user = _mm256_set1_epi64x(four);
      for (int part = 0; part < 4; ++part) {
        const auto* at = reinterpret_cast<const __m128i*>(tile) + part;
        const __m256i items = _mm256_cvtepi8_epi16(_mm_loadu_si128(at));
        sums[part] = _mm256_add_epi32(sums[part], _mm256_madd_epi16(items, user));
      }
    }
    __m256 lower[2], upper[2];
    for (int half = 0; half < 2; ++half) {
      __m256i dot = _mm256_hadd_epi32(sums[2 * half], sums[2 * half + 1]);  // 0 1 4 5, 2 3 6 7
      dot = _mm256_permute4x64_epi64(dot, 0xD8);
      const int64_t at = block * kItems + 8 * half;
      const __m256 scale = _mm256_loadu_ps(table.scales + at);
      // the step first: a scale can be so small that its product with the step vanishes
      const __m256 about = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(dot), step), scale);
      const __m256 away = _mm256_add_ps(_mm256_mul_ps(scale, slack), least);
      lower[half] = _mm256_sub_ps(about, away);
      upper[half] = _mm256_add_ps(about, away);
      _mm256_storeu_ps(bounds.lower.data() + at, lower[half]);
    }
    bounds.best_lower[block] = largest(lower[0], lower[1]);
    bounds.best_upper[block] = largest(upper[0], upper[1]);
  }
}

bool can_bound() { return __builtin_cpu_supports("avx2"); }

#else

void bound(const Table&, const Query&, Bounds&) {}
bool can_bound() { return false; }

#endif

void hide(Bounds& bounds, int64_t items, const int64_t* hidden, int64_t hidden_count, const uint8_t* shown) {
  for (int64_t at = 0; at < hidden_count; ++at) bounds.lower[hidden[at]] = kHidden;
  if (shown != nullptr)
    for (int64_t item = 0; item < items; ++item)
      if (!shown[item]) bounds.lower[item] = kHidden;
  std::fill(bounds.lower.begin() + items, bounds.lower.end(), kHidden);
}

// The k-th best lower end, kHidden where fewer are shown.
float limit_of(const Bounds& bounds, int64_t k) {
  std::vector<float> heap(k, kHidden);  // the lowest first
  for (size_t block = 0; block < bounds.best_lower.size(); ++block) {
    if (bounds.best_lower[block] <= heap.front()) continue;
    for (int64_t at = 0; at < kItems; ++at) {
      const float lower = bounds.lower[block * kItems + at];
      if (lower <= heap.front()) continue;
      std::pop_heap(heap.begin(), heap.end(), std::greater<>());
      heap.back() = lower;
      std::push_heap(heap.begin(), heap.end(), std::greater<>());
    }
  }
  return heap.front();
}

}  // namespace

extern "C" {

int32_t kgrec_pruning_version() { return 1; }

// Whether this machine has what it takes.
int32_t kgrec_pruning_works() { return can_bound(); }

// Writes the columns, ascending, and returns their number; -1 where there are more than `most`, fewer
// than k are shown, or the bounds do not hold.
int64_t kgrec_pruning_columns(const int8_t* tiles, const float* scales, const double* far, int64_t items, int64_t dim,
                              const float* vector, const int64_t* hidden, int64_t hidden_count, const uint8_t* shown,
                              int64_t k, int64_t most, int64_t* columns) {
  try {
    thread_local Bounds bounds;
    thread_local Query query;
    const int64_t blocks = (items + kItems - 1) / kItems;
    const Table table{tiles, scales, far[0], far[1], far[2], far[3], blocks, (dim + 3) / 4, dim};
    if (!made(table, vector, query)) return -1;

    bounds.lower.resize(blocks * kItems);
    bounds.best_lower.resize(blocks);
    bounds.best_upper.resize(blocks);
    bound(table, query, bounds);
    hide(bounds, items, hidden, hidden_count, shown);
    const float limit = limit_of(bounds, k);
    if (limit == kHidden) return -1;

    int64_t found = 0;
    for (int64_t block = 0; block < blocks; ++block) {
      if (bounds.best_upper[block] < limit) continue;
      for (int64_t at = block * kItems; at < (block + 1) * kItems; ++at) {
        if (bounds.lower[at] + 2 * (scales[at] * query.slack + query.least) < limit) continue;
        if (found == most) return -1;
        columns[found++] = at;
      }
    }
    return found;
  } catch (const std::bad_alloc&) {
    return -1;
  }
}
}
