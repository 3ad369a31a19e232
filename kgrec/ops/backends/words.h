// Words of a counter-based generator; see kgrec.ops.dropout.

#pragma once

#include <cstdint>

#include "parallel.h"

namespace {

template <class Word>
INLINE void mix(Word& word) {
  word = (word ^ (word >> 16)) * 0x7feb352du;
  word = (word ^ (word >> 15)) * 0x846ca68bu;
  word ^= word >> 16;
}

// Values whose word is below the threshold are dropped, the others are multiplied by the scale.
struct Drop {
  uint32_t key, further, threshold;
  float scale;

  // Turns the lower halves of places into their words; the upper half they have in common.
  template <class Word>
  INLINE void draw(Word& word, uint32_t upper) const {
    word ^= key;
    mix(word);
    word += further + upper;
    mix(word);
  }
};

}  // namespace
