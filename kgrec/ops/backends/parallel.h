// Threads and instructions of the compiled kernels.
//
// Threads are those of torch's OpenMP where native.py found it, so that no second pool spins against it; else they are started per call.

#pragma once

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
// The widest instructions that the machine has are chosen when the library is loaded.
#define WIDEST __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define KGREC_X86_LEVELS
#else
#define WIDEST
#endif
#define INLINE inline __attribute__((always_inline))

namespace {

constexpr int64_t kAlone = 1 << 16;  // less work than this is not worth a thread (multiply-adds)

// How many threads a piece of work is worth.
int useful_threads(int64_t operations, int threads) {
  const int64_t most = std::max<int64_t>(1, operations / kAlone);
  return static_cast<int>(std::min<int64_t>(std::max(threads, 1), most));
}

// GNU OpenMP's entry to a parallel region, and what a thread in it asks. Null: not found.
void (*g_parallel)(void (*)(void*), void*, unsigned, unsigned) = nullptr;
int (*g_number)() = nullptr;
int (*g_team)() = nullptr;

// Calls work(thread) for thread = 0 .. parts - 1, with up to ``threads`` at a time.
template <class Work>
void on_threads(int parts, int threads, Work work) {
  if (parts > 1 && g_parallel) {
    struct Call { Work* work; int parts; } call{&work, parts};
    // Always the whole team: OpenMP ends the threads that a smaller one has no use for.
    g_parallel([](void* data) {
      const Call* of = static_cast<Call*>(data);
      for (int part = g_number(); part < of->parts; part += g_team()) (*of->work)(part);
    }, &call, static_cast<unsigned>(threads), 0);
    return;
  }
  std::vector<std::thread> others;
  for (int part = 1; part < parts; part++) others.emplace_back(work, part);
  work(0);
  for (auto& other : others) other.join();
}

// Bounds of ``parts`` consecutive ranges of rows with about equal numbers of edges.
std::vector<int64_t> cut_rows(const int64_t* ptr, int64_t rows, int parts) {
  const int64_t total = ptr[rows] + rows;
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
  return cut;
}

// Calls work(lo, hi) for such ranges, one per thread.
template <class Work>
void in_parallel(const int64_t* ptr, int64_t rows, int64_t cost, int threads, Work work) {
  const int parts = useful_threads((ptr[rows] + rows) * cost, threads);
  const std::vector<int64_t> cut = cut_rows(ptr, rows, parts);
  on_threads(parts, threads, [&](int part) { work(cut[part], cut[part + 1]); });
}

// Equal ranges of rows for work that is alike for each.
template <class Work>
void in_equal_parts(int64_t rows, int64_t cost, int threads, Work work) {
  const int64_t parts = useful_threads(rows * cost, threads);
  on_threads(static_cast<int>(parts), threads, [&](int part) { work(rows * part / parts, rows * (part + 1) / parts); });
}

}  // namespace
