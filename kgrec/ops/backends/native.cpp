// Kernels over a destination-sorted CSR, float32, behind a plain C interface (loaded with ctypes by native.py).
//
// Every output value is one sum in a fixed order, whatever the number of threads: results do not depend on it.
// Threads are started per call, so that no second pool spins against torch's own.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <thread>
#include <vector>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
// The widest instructions that the machine has are chosen when the library is loaded.
#define WIDEST __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define WIDEST
#endif
#define INLINE inline __attribute__((always_inline))

namespace {

constexpr int kAhead = 16;                 // edges between a prefetch and its use
constexpr int64_t kAlone = 1 << 16;        // less work than this is not worth a thread (multiply-adds)

// Calls work(lo, hi) for consecutive ranges of rows with about equal numbers of edges.
template <class Work>
void in_parallel(const int64_t* ptr, int64_t rows, int64_t cost, int threads, Work work) {
  const int64_t total = ptr[rows] + rows;
  const int64_t most = std::max<int64_t>(1, total * cost / kAlone);
  const int parts = static_cast<int>(std::min<int64_t>(std::max(threads, 1), most));
  std::vector<int64_t> cut(parts + 1, rows);
  cut[0] = 0;
  for (int part = 1; part < parts; part++) {
    const int64_t wanted = total / parts * part;
    int64_t low = 0, high = rows;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (ptr[middle] + middle < wanted) low = middle + 1; else high = middle;
    }
    cut[part] = low;
  }
  std::vector<std::thread> others;
  for (int part = 1; part < parts; part++) others.emplace_back(work, cut[part], cut[part + 1]);
  work(cut[0], cut[1]);
  for (auto& other : others) other.join();
}

struct Product {
  const int64_t* ptr;
  const int32_t* idx;
  const float* weight;
  const float* x;
  const float* added;
  float* y;
  int64_t dim;
  float alpha, beta;
};

// Columns first .. first + WIDTH of y[v] = beta * sum of weight[e] x[idx[e]] + alpha * added[v].
template <int WIDTH>
INLINE void columns(const Product& p, int64_t v, int64_t first, int width) {
  float sum[WIDTH] = {0};
  const int64_t end = p.ptr[v + 1];
  for (int64_t e = p.ptr[v]; e < end; e++) {
    if (e + kAhead < end) __builtin_prefetch(p.x + p.idx[e + kAhead] * p.dim + first);
    const float* row = p.x + p.idx[e] * p.dim + first;
    const float w = p.weight[e];
    for (int j = 0; j < (WIDTH == 64 ? 64 : width); j++) sum[j] += w * row[j];
  }
  float* out = p.y + v * p.dim + first;
  if (p.added) {
    const float* more = p.added + v * p.dim + first;
    for (int j = 0; j < width; j++) out[j] = p.alpha * more[j] + p.beta * sum[j];
  } else {
    for (int j = 0; j < width; j++) out[j] = p.beta * sum[j];
  }
}

WIDEST void product_rows(Product p, int64_t low, int64_t high) {
  for (int64_t v = low; v < high; v++) {
    int64_t first = 0;
    for (; first + 64 <= p.dim; first += 64) columns<64>(p, v, first, 64);
    if (first + 32 <= p.dim) { columns<32>(p, v, first, 32); first += 32; }
    if (first < p.dim) columns<31>(p, v, first, static_cast<int>(p.dim - first));
  }
}

WIDEST void sampled_rows(const int64_t* ptr, const int32_t* idx, const float* a, const float* b, float* out, int64_t dim, int64_t low,
                         int64_t high) {
  for (int64_t v = low; v < high; v++) {
    const float* left = a + v * dim;
    for (int64_t e = ptr[v]; e < ptr[v + 1]; e++) {
      if (e + kAhead < ptr[v + 1]) __builtin_prefetch(b + idx[e + kAhead] * dim);
      const float* right = b + idx[e] * dim;
      float lane[16] = {0};
      int64_t j = 0;
      for (; j + 16 <= dim; j += 16)
        for (int k = 0; k < 16; k++) lane[k] += left[j + k] * right[j + k];
      for (int k = 0; j < dim; j++, k++) lane[k] += left[j] * right[j];
      for (int half = 8; half; half /= 2)
        for (int k = 0; k < half; k++) lane[k] += lane[k + half];
      out[e] = lane[0];
    }
  }
}

}  // namespace

extern "C" {

// Raised with every change of a signature; native.py loads no other.
int32_t kgrec_native_version() { return 1; }

// y = beta A x + alpha added; ``added`` may be null, and may be x. y must be neither.
void kgrec_spmm(const int64_t* ptr, const int32_t* idx, const float* weight, const float* x, const float* added, float* y, int64_t rows,
                int64_t dim, float alpha, float beta, int32_t threads) {
  const Product p{ptr, idx, weight, x, added, y, dim, alpha, beta};
  in_parallel(ptr, rows, dim, threads, [p](int64_t low, int64_t high) { product_rows(p, low, high); });
}

// out[e] = a[destination of e] . b[idx[e]]
void kgrec_sddmm(const int64_t* ptr, const int32_t* idx, const float* a, const float* b, float* out, int64_t rows, int64_t dim,
                 int32_t threads) {
  in_parallel(ptr, rows, dim, threads, [=](int64_t low, int64_t high) { sampled_rows(ptr, idx, a, b, out, dim, low, high); });
}

}  // extern "C"
