// Columns that may be among the best k by inner product, from vectors rounded to 8 bits: behind a
// plain C interface (loaded with ctypes by pruning.py). Several searches at once read them once.
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
constexpr int32_t kMiddle = 8192;
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
  int64_t items;
  int64_t blocks;
  int64_t groups;
  int64_t dim;
};

// A user's vector as whole numbers; a score is within scale * slack + least of scale * step * p.q.
struct Query {
  bool holds;  // whether it is, for this vector
  std::vector<int16_t> numbers;
  std::vector<uint8_t> high;  // numbers + kMiddle = 128 high + low, for machines with VNNI
  std::vector<uint8_t> low;
  float step;
  float slack;
  float least;
  std::vector<float> best_lower;  // of every tile, hidden items too
  std::vector<float> best_upper;
};

// What is looked for, and where it is written; pruning.py has the same.
struct Wanted {
  const float* vector;
  const int64_t* hidden;
  const uint8_t* shown;  // null for all
  int64_t* columns;
  int64_t hidden_count;
  int64_t k;
  int64_t most;
  int64_t found;
};

double length_of(const double* values, int64_t count) {
  double sum = 0;
  for (int64_t at = 0; at < count; ++at) sum += values[at] * values[at];
  return std::sqrt(sum);
}

void make(const Table& table, const float* vector, Query& query) {
  std::vector<double> left(vector, vector + table.dim);
  const double size = length_of(left.data(), table.dim);
  query.holds = size > kSmallest && size < kLargest && size * table.longest < kLargest;
  if (!query.holds) return;

  double top = 0;
  for (const double value : left) top = std::max(top, std::fabs(value));
  query.step = static_cast<float>(top / kTop);
  query.numbers.assign(4 * table.groups, 0);
  query.high.assign(4 * table.groups, kMiddle / 128);
  query.low.assign(4 * table.groups, 0);
  for (int64_t at = 0; at < table.dim; ++at) {
    query.numbers[at] = static_cast<int16_t>(std::lrint(left[at] / query.step));
    left[at] -= query.numbers[at] * static_cast<double>(query.step);
    query.high[at] = static_cast<uint8_t>((query.numbers[at] + kMiddle) / 128);
    query.low[at] = static_cast<uint8_t>((query.numbers[at] + kMiddle) % 128);
  }
  const double off = length_of(left.data(), table.dim);
  const double units = (table.dim + 16) * kUnit * 1.01;  // and what is rounded here
  const double slack = size * table.error + off * table.length + (size + off) * (table.length + table.error) * units;
  query.slack = static_cast<float>(slack * (1 + 1e-5));
  query.least = static_cast<float>(size * table.lost * 1.01 + kLeast);
  query.best_lower.resize(table.blocks);
  query.best_upper.resize(table.blocks);
}

#ifdef KGREC_AVX2

// The ends between which the scores of a tile's items are, 8 and 8.
__attribute__((target("avx2"))) inline void bound_tile(const Table& table, const Query& query, int64_t block,
                                                       __m256* lower, __m256* upper) {
  const int8_t* tile = table.tiles + block * table.groups * 4 * kItems;
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
  const __m256 step = _mm256_set1_ps(query.step);
  const __m256 slack = _mm256_set1_ps(query.slack);
  const __m256 least = _mm256_set1_ps(query.least);
  for (int half = 0; half < 2; ++half) {
    __m256i dot = _mm256_hadd_epi32(sums[2 * half], sums[2 * half + 1]);  // 0 1 4 5, 2 3 6 7
    dot = _mm256_permute4x64_epi64(dot, 0xD8);
    const __m256 scale = _mm256_loadu_ps(table.scales + block * kItems + 8 * half);
    // the step first: a scale can be so small that its product with the step vanishes
    const __m256 about = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(dot), step), scale);
    const __m256 away = _mm256_add_ps(_mm256_mul_ps(scale, slack), least);
    lower[half] = _mm256_sub_ps(about, away);
    upper[half] = _mm256_add_ps(about, away);
  }
}

__attribute__((target("avx2"))) inline float largest(const __m256* ends) {
  const __m256 eight = _mm256_max_ps(ends[0], ends[1]);
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

// Bounds all tiles for all queries, each tile while it is near.
__attribute__((target("avx2"))) void bound(const Table& table, Query* queries, int64_t count) {
  __m256 lower[2], upper[2];
  for (int64_t block = 0; block < table.blocks; ++block)
    for (Query* query = queries; query < queries + count; ++query) {
      if (!query->holds) continue;
      bound_tile(table, *query, block, lower, upper);
      query->best_lower[block] = largest(lower);
      query->best_upper[block] = largest(upper);
    }
}

__attribute__((target("avx2"))) void write_tile(const Table& table, const Query& query, int64_t block, float* lower,
                                                float* upper) {
  __m256 lows[2], highs[2];
  bound_tile(table, query, block, lows, highs);
  for (int half = 0; half < 2; ++half) {
    _mm256_storeu_ps(lower + 8 * half, lows[half]);
    _mm256_storeu_ps(upper + 8 * half, highs[half]);
  }
}

#define KGREC_VNNI __attribute__((target("avx512f,avx512vnni")))

// The sums of products of one group of dimensions, by 16 items.
KGREC_VNNI inline __m512i added(__m512i sums, const uint8_t* four, __m512i items) {
  int32_t numbers;
  std::memcpy(&numbers, four, sizeof numbers);
  return _mm512_dpbusd_epi32(sums, _mm512_set1_epi32(numbers), items);
}

// As `bound`, in fewer instructions: p.q = 128 high.q + low.q - kMiddle sum of q, where what does not
// fit into 32 bits cancels.
KGREC_VNNI void bound_by_bytes(const Table& table, Query* queries, int64_t count) {
  for (int64_t block = 0; block < table.blocks; ++block) {
    const int8_t* tile = table.tiles + block * table.groups * 4 * kItems;
    const __m512 scale = _mm512_loadu_ps(table.scales + block * kItems);
    __m512i whole = _mm512_setzero_si512();
    for (int64_t group = 0; group < table.groups; ++group) {
      _mm_prefetch(reinterpret_cast<const char*>(tile) + kAhead + group * 64, _MM_HINT_T0);
      whole = _mm512_dpbusd_epi32(whole, _mm512_set1_epi8(1), _mm512_loadu_si512(tile + group * 64));
    }
    whole = _mm512_mullo_epi32(whole, _mm512_set1_epi32(kMiddle));
    for (Query* query = queries; query < queries + count; ++query) {
      if (!query->holds) continue;
      __m512i high = _mm512_setzero_si512();
      __m512i low = _mm512_setzero_si512();
      for (int64_t group = 0; group < table.groups; ++group) {
        const __m512i items = _mm512_loadu_si512(tile + group * 64);
        high = added(high, query->high.data() + 4 * group, items);
        low = added(low, query->low.data() + 4 * group, items);
      }
      const __m512i dot = _mm512_sub_epi32(_mm512_add_epi32(_mm512_slli_epi32(high, 7), low), whole);
      const __m512 step = _mm512_mul_ps(_mm512_cvtepi32_ps(dot), _mm512_set1_ps(query->step));
      const __m512 about = _mm512_mul_ps(step, scale);
      const __m512 slack = _mm512_mul_ps(scale, _mm512_set1_ps(query->slack));
      const __m512 away = _mm512_add_ps(slack, _mm512_set1_ps(query->least));
      query->best_lower[block] = _mm512_reduce_max_ps(_mm512_sub_ps(about, away));
      query->best_upper[block] = _mm512_reduce_max_ps(_mm512_add_ps(about, away));
    }
  }
}

int32_t best_way() {
  if (!__builtin_cpu_supports("avx2")) return 0;
  return __builtin_cpu_supports("avx512vnni") ? 2 : 1;
}

#else

void bound(const Table&, Query*, int64_t) {}
void bound_by_bytes(const Table&, Query*, int64_t) {}
void write_tile(const Table&, const Query&, int64_t, float*, float*) {}
int32_t best_way() { return 0; }

#endif

// Writes the columns, ascending, and returns their number; -1 where there are more than `most`, or
// fewer than k are shown.
int64_t left_of(const Table& table, const Query& query, const Wanted& wanted, const std::vector<uint8_t>& hidden) {
  const auto is_shown = [&](int64_t item) {
    return item < table.items && !hidden[item] && (wanted.shown == nullptr || wanted.shown[item]);
  };
  float lower[kItems], upper[kItems];
  std::vector<float> heap(wanted.k, kHidden);  // the k best lower ends, the lowest first
  for (int64_t block = 0; block < table.blocks; ++block) {
    if (query.best_lower[block] <= heap.front()) continue;
    write_tile(table, query, block, lower, upper);
    for (int64_t at = 0; at < kItems; ++at) {
      if (lower[at] <= heap.front() || !is_shown(block * kItems + at)) continue;
      std::pop_heap(heap.begin(), heap.end(), std::greater<>());
      heap.back() = lower[at];
      std::push_heap(heap.begin(), heap.end(), std::greater<>());
    }
  }
  const float limit = heap.front();
  if (limit == kHidden) return -1;

  int64_t found = 0;
  for (int64_t block = 0; block < table.blocks; ++block) {
    if (query.best_upper[block] < limit) continue;
    write_tile(table, query, block, lower, upper);
    for (int64_t at = 0; at < kItems; ++at) {
      const int64_t item = block * kItems + at;
      if (upper[at] < limit || !is_shown(item)) continue;
      if (found == wanted.most) return -1;
      wanted.columns[found++] = item;
    }
  }
  return found;
}

}  // namespace

extern "C" {

int32_t kgrec_pruning_version() { return 2; }

// The best way on this machine: 2 by VNNI, 1 by AVX2, 0 for none.
int32_t kgrec_pruning_way() { return best_way(); }

// Writes the columns of each search, ascending, and their number; -1 where there are more than `most`,
// fewer than k are shown, or the bounds do not hold.
void kgrec_pruning_search(const int8_t* tiles, const float* scales, const double* far, int64_t items, int64_t dim,
                          Wanted* wanted, int64_t count, int32_t way) {
  for (int64_t at = 0; at < count; ++at) wanted[at].found = -1;
  try {
    thread_local std::vector<Query> queries;
    thread_local std::vector<uint8_t> hidden;
    const int64_t blocks = (items + kItems - 1) / kItems;
    const Table table{tiles, scales, far[0], far[1], far[2], far[3], items, blocks, (dim + 3) / 4, dim};
    if (static_cast<int64_t>(queries.size()) < count) queries.resize(count);
    for (int64_t at = 0; at < count; ++at) make(table, wanted[at].vector, queries[at]);

    (way == 2 ? bound_by_bytes : bound)(table, queries.data(), count);
    for (int64_t at = 0; at < count; ++at) {
      if (!queries[at].holds) continue;
      Wanted& own = wanted[at];
      hidden.assign(items, 0);
      for (int64_t each = 0; each < own.hidden_count; ++each) hidden[own.hidden[each]] = 1;
      own.found = left_of(table, queries[at], own, hidden);
    }
  } catch (const std::bad_alloc&) {
  }
}
}
