// N-Triples and N-Quads to numbered columns, and which triples are stated for the first time.
//
// A line is taken only where it is plain beyond doubt: IRIs of common characters, blank nodes with plain labels, literals in valid UTF-8
// with a plain language tag or a datatype. At any other line the reader stops and says where it is; the caller has pyoxigraph look at it.
// Text that pyoxigraph itself wrote is "trusted": taken apart without being checked again.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>
#include <string>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace {

// Zeroed memory for a table of a power of two bytes that is read here and there: where it is large, in large pages, since finding the page
// takes as long as reading it.
void* zeroed(size_t bytes) {
#ifdef MADV_HUGEPAGE
    constexpr size_t PAGE = 1 << 21;
    if (bytes >= PAGE) {
        void* const made = std::aligned_alloc(PAGE, bytes);
        if (made == nullptr) throw std::bad_alloc();
        madvise(made, bytes, MADV_HUGEPAGE);
        return std::memset(made, 0, bytes);
    }
#endif
    void* const made = std::calloc(bytes, 1);
    if (made == nullptr) throw std::bad_alloc();
    return made;
}

// Columns that grow. realloc moves pages instead of copying them, so that growing costs no second copy of a large column.
template <class T>
struct Column {
    T* data = nullptr;
    int64_t size = 0, room = 0;

    Column() = default;
    Column(const Column&) = delete;
    Column& operator=(const Column&) = delete;
    ~Column() { std::free(data); }

    void reserve(int64_t wanted) {
        if (wanted <= room) return;
        int64_t larger = room + room / 2 + 64;
        if (larger < wanted) larger = wanted;
        T* moved = static_cast<T*>(std::realloc(data, static_cast<size_t>(larger) * sizeof(T)));
        if (moved == nullptr) throw std::bad_alloc();
        data = moved;
        room = larger;
    }
    void push(T value) {
        if (size == room) reserve(size + 1);
        data[size++] = value;
    }
    T* release() {
        T* own = data;
        data = nullptr;
        size = room = 0;
        return own;
    }
};

// More of something than its numbers can count.
struct Full {};

// Texts one after another, with the end of each.
struct Texts {
    Column<char> bytes;
    Column<int64_t> ends;

    int64_t count() const { return ends.size; }
    int64_t begin(int64_t row) const { return row == 0 ? 0 : ends.data[row - 1]; }
    void push(const char* text, size_t length) {
        bytes.reserve(bytes.size + static_cast<int64_t>(length) + 1);
        if (length != 0) std::memcpy(bytes.data + bytes.size, text, length);
        bytes.size += static_cast<int64_t>(length);
        ends.push(bytes.size);
    }
};

inline uint64_t word(const char* at) {
    uint64_t value;
    std::memcpy(&value, at, 8);
    return value;
}

inline uint64_t mixed(uint64_t a, uint64_t b) {
    const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// A hash keyed anew by each reader, so that no file can be made to collide.
struct Hash {
    uint64_t key;

    uint64_t operator()(const char* text, size_t length) const {
        uint64_t state = key ^ (length * 0x9E3779B97F4A7C15ULL);
        const char* const end = text + length;
        for (; end - text >= 16; text += 16) state = mixed(word(text) ^ state, word(text + 8) ^ 0xD1B54A32D192ED03ULL);
        uint64_t low = 0, high = 0;
        const size_t left = static_cast<size_t>(end - text);
        if (left > 8) low = word(text);
        if (length >= 8) {
            high = word(end - 8);  // with bytes that were in the loop, rather than a copy of unknown length, for which a processor waits
        } else {
            std::memcpy(&low, text, left);
        }
        state = mixed(low ^ state, high ^ 0x8CB92BA72F3D8DD7ULL);
        return mixed(state ^ key, 0xA24BAED4963EE407ULL);
    }
};

constexpr int64_t MISSING = -1;

// Distinct texts, numbered in the order of first appearance.
struct Interner {
    struct Slot {
        uint64_t place;   // where the text begins (48 bits), below the top 16 bits of its hash
        uint32_t length;
        uint32_t number;  // of the text, plus one; 0 is an empty slot
    };
    static constexpr uint64_t PLACE = (1ULL << 48) - 1;

    Texts texts;
    Hash hash{0};
    bool with_blank = false;  // a text that begins with "_" is a blank node's and found by its label instead
    Slot* slots = nullptr;
    uint64_t mask = 0;
    int64_t filled = 0;

    ~Interner() { std::free(slots); }

    void prefetch(uint64_t code) const {
        if (slots != nullptr) __builtin_prefetch(&slots[code & mask]);
    }
    // The second step of a prefetch: the text that the first slot of the code leads to.
    void prefetch_text(uint64_t code) const {
        if (slots == nullptr) return;
        const char* const text = texts.bytes.data + (slots[code & mask].place & PLACE);
        __builtin_prefetch(text);
        __builtin_prefetch(text + 64);  // few texts lie within one line of the cache
    }
    int64_t find(const char* text, size_t length, uint64_t code) const {
        if (slots == nullptr) return MISSING;
        for (uint64_t at = code & mask; slots[at].number != 0; at = (at + 1) & mask) {
            const Slot& slot = slots[at];
            if (slot.length == length && (slot.place >> 48) == (code >> 48) &&
                std::memcmp(texts.bytes.data + (slot.place & PLACE), text, length) == 0)
                return slot.number - 1;
        }
        return MISSING;
    }
    int64_t add(const char* text, size_t length, uint64_t code) {
        if (filled * 5 >= static_cast<int64_t>(mask + 1) * 3 || slots == nullptr) grow();
        const int64_t number = texts.count();
        texts.push(text, length);
        enter(number, code);
        return number;
    }
    int64_t intern(const char* text, size_t length) {
        const uint64_t code = hash(text, length);
        const int64_t found = find(text, length, code);
        return found != MISSING ? found : add(text, length, code);
    }
    void enter(int64_t number, uint64_t code) {
        uint64_t at = code & mask;
        while (slots[at].number != 0) at = (at + 1) & mask;
        const int64_t begin = texts.begin(number);
        slots[at].place = static_cast<uint64_t>(begin) | ((code >> 48) << 48);
        slots[at].length = static_cast<uint32_t>(texts.ends.data[number] - begin);
        slots[at].number = static_cast<uint32_t>(number) + 1;
        ++filled;
    }
    void grow() {
        const uint64_t larger = slots == nullptr ? 64 : (mask + 1) * 2;
        Slot* fresh = static_cast<Slot*>(zeroed(larger * sizeof(Slot)));
        std::free(slots);
        slots = fresh;
        mask = larger - 1;
        filled = 0;
        for (int64_t number = 0; number < texts.count(); ++number) {
            const int64_t begin = texts.begin(number);
            const char* const text = texts.bytes.data + begin;
            const size_t length = static_cast<size_t>(texts.ends.data[number] - begin);
            if (with_blank && length != 0 && text[0] == '_') continue;
            enter(number, hash(text, length));
        }
    }
};

// Literals of subjects: numbers of the subject and of the names of the predicate, the datatype and the language, and the text.
struct Literals {
    Column<int32_t> term, name, datatype, language;
    Column<int64_t> line;
    Texts value;
    Hash hash{0};
    uint32_t* slots = nullptr;  // row plus one of each distinct literal; 0 is empty
    uint64_t mask = 0;

    ~Literals() { std::free(slots); }

    int64_t count() const { return term.size; }
    uint64_t code(int64_t row) const {
        const int64_t begin = value.begin(row);
        const uint64_t ids = (static_cast<uint64_t>(static_cast<uint32_t>(term.data[row])) << 32) | static_cast<uint32_t>(name.data[row]);
        const uint64_t kinds = (static_cast<uint64_t>(static_cast<uint32_t>(datatype.data[row])) << 32) | static_cast<uint32_t>(language.data[row]);
        const uint64_t text = hash(value.bytes.data + begin, static_cast<size_t>(value.ends.data[row] - begin));
        return mixed(mixed(ids ^ text, kinds ^ hash.key) ^ text, 0xA24BAED4963EE407ULL);
    }
    bool equal(int64_t row, int64_t other) const {
        const int64_t one = value.begin(row), two = value.begin(other);
        const int64_t length = value.ends.data[row] - one;
        return term.data[row] == term.data[other] && name.data[row] == name.data[other] && datatype.data[row] == datatype.data[other] &&
               language.data[row] == language.data[other] && value.ends.data[other] - two == length &&
               (length == 0 || std::memcmp(value.bytes.data + one, value.bytes.data + two, static_cast<size_t>(length)) == 0);
    }
    void push(int32_t subject, int32_t predicate, int32_t type, int32_t tag, const char* text, size_t length) {
        term.push(subject);
        name.push(predicate);
        datatype.push(type);
        language.push(tag);
        value.push(text, length);
    }
    // Takes the last row away if it was stated before, and returns whether it is new.
    bool keep_new() {
        const int64_t row = count() - 1;
        if (row >= UINT32_MAX - 1) throw Full();
        if (slots == nullptr || static_cast<uint64_t>(row) * 5 >= (mask + 1) * 3) grow();
        uint64_t at = code(row) & mask;
        for (; slots[at] != 0; at = (at + 1) & mask)
            if (equal(row, slots[at] - 1)) return forget_last(), false;
        slots[at] = static_cast<uint32_t>(row) + 1;
        return true;
    }
    void forget_last() {
        const int64_t row = count() - 1;
        value.bytes.size = value.begin(row);
        value.ends.size = term.size = name.size = datatype.size = language.size = row;
    }
    void grow() {
        const uint64_t larger = slots == nullptr ? 64 : (mask + 1) * 2;
        uint32_t* fresh = static_cast<uint32_t*>(zeroed(larger * sizeof(uint32_t)));
        std::free(slots);
        slots = fresh;
        mask = larger - 1;
        for (int64_t row = 0; row + 1 < count(); ++row) {
            uint64_t at = code(row) & mask;
            while (slots[at] != 0) at = (at + 1) & mask;
            slots[at] = static_cast<uint32_t>(row) + 1;
        }
    }
};

struct Span {
    const char* at = nullptr;
    size_t length = 0;
};

bool same(const Span& span, const std::string& text) {
    return span.length == text.size() && std::memcmp(span.at, text.data(), text.size()) == 0;
}

bool starts(const Span& span, const std::string& text) {
    return span.length >= text.size() && std::memcmp(span.at, text.data(), text.size()) == 0;
}

inline bool is_letter(unsigned char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }
inline bool is_digit(unsigned char c) { return c >= '0' && c <= '9'; }
inline int hex(unsigned char c) {
    if (is_digit(c)) return c - '0';
    const unsigned char low = c | 32;
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

enum CharacterClass : unsigned char { UNRESERVED = 1, DELIMITER = 2, SCHEME = 4, LABEL_START = 8, LABEL = 16 };

struct Classes {
    unsigned char of[256] = {};
    constexpr Classes() {
        for (int c = 0; c < 128; ++c) {
            const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'), digit = c >= '0' && c <= '9';
            if (letter || digit) of[c] = UNRESERVED | SCHEME | LABEL_START | LABEL;
        }
        for (const char* c = "-._~"; *c; ++c) of[static_cast<unsigned char>(*c)] |= UNRESERVED;
        for (const char* c = "!$&'()*+,;=:@/"; *c; ++c) of[static_cast<unsigned char>(*c)] |= DELIMITER;
        for (const char* c = "+-."; *c; ++c) of[static_cast<unsigned char>(*c)] |= SCHEME;
        of[static_cast<unsigned char>('_')] |= LABEL_START | LABEL;
        of[static_cast<unsigned char>('-')] |= LABEL;
    }
};
constexpr Classes CLASSES;

inline bool is_a(unsigned char c, int wanted) { return (CLASSES.of[c] & wanted) != 0; }

bool is_ascii(const char* at, const char* end) {
    uint64_t seen = 0;
    for (; end - at >= 8; at += 8) seen |= word(at);
    for (; at < end; ++at) seen |= static_cast<unsigned char>(*at);
    return (seen & 0x8080808080808080ULL) == 0;
}

// The length of a character of valid UTF-8 beyond ASCII, 0 where there is none.
int character(const unsigned char* at, const unsigned char* end) {
    const auto more = [&](int place) { return at + place < end && (at[place] & 0xC0) == 0x80; };
    const unsigned char first = at[0];
    if (first < 0xC2) return 0;
    if (first < 0xE0) return more(1) ? 2 : 0;
    if (first < 0xF0) {
        if (!more(1) || !more(2)) return 0;
        if (first == 0xE0 && at[1] < 0xA0) return 0;
        if (first == 0xED && at[1] > 0x9F) return 0;
        return 3;
    }
    if (first > 0xF4 || !more(1) || !more(2) || !more(3)) return 0;
    if (first == 0xF0 && at[1] < 0x90) return 0;
    if (first == 0xF4 && at[1] > 0x8F) return 0;
    return 4;
}

bool is_utf8(const char* from, const char* to) {
    if (is_ascii(from, to)) return true;
    const unsigned char* at = reinterpret_cast<const unsigned char*>(from);
    const unsigned char* const end = reinterpret_cast<const unsigned char*>(to);
    while (at < end) {
        const int length = *at < 0x80 ? 1 : character(at, end);
        if (length == 0) return false;
        at += length;
    }
    return true;
}

// Whether an IRI is valid beyond doubt: RFC 3987 without user names, IP addresses in brackets, and characters from U+D800 on.
bool is_plain_iri(const Span& iri) {
    const unsigned char* at = reinterpret_cast<const unsigned char*>(iri.at);
    const unsigned char* const end = at + iri.length;
    if (at == end || !is_letter(*at)) return false;
    while (at < end && is_a(*at, SCHEME)) ++at;
    if (at == end || *at != ':') return false;
    ++at;
    if (end - at >= 2 && at[0] == '/' && at[1] == '/') {
        at += 2;
        while (at < end && is_a(*at, UNRESERVED)) ++at;
        if (at < end && *at == ':') {
            const unsigned char* const port = ++at;
            while (at < end && is_digit(*at)) ++at;
            if (at == port || at - port > 4) return false;
        }
        if (at < end && *at != '/' && *at != '?' && *at != '#') return false;
    }
    bool fragment = false;
    while (at < end) {
        const unsigned char c = *at;
        if (is_a(c, UNRESERVED | DELIMITER)) {
            ++at;
        } else if (c == '%') {
            if (end - at < 3 || hex(at[1]) < 0 || hex(at[2]) < 0) return false;
            at += 3;
        } else if (c == '?') {
            ++at;
        } else if (c == '#' && !fragment) {
            fragment = true;
            ++at;
        } else if (c >= 0xC2 && c < 0xEE) {
            const int length = character(at, end);
            if (length == 0 || (c == 0xC2 && at[1] < 0xA0)) return false;
            at += length;
        } else {
            return false;
        }
    }
    return true;
}

enum Kind : unsigned char { NOTHING, IRI, BLANK, LITERAL, QUOTED };

struct Statement {
    Span subject, predicate, object, datatype, language, graph;
    uint64_t subject_code = 0, object_code = 0;
    int64_t subject_number = MISSING, predicate_number = MISSING, object_number = MISSING;  // where they are known already
    int64_t decoded = MISSING;  // where the object's text stands among the decoded ones
    int64_t line = 0;
    Kind subject_kind = NOTHING, object_kind = NOTHING, graph_kind = NOTHING;
    bool directed = false;
};

// Text with its escapes resolved, appended to ``out``; false where an escape is none.
bool unescape(const Span& text, std::string& out) {
    const char* at = text.at;
    const char* const end = text.at + text.length;
    while (at < end) {
        const char* slash = static_cast<const char*>(std::memchr(at, '\\', static_cast<size_t>(end - at)));
        if (slash == nullptr) slash = end;
        out.append(at, static_cast<size_t>(slash - at));
        at = slash;
        if (at == end) break;
        if (end - at < 2) return false;
        static const char names[] = "tbnrf\"'\\", values[] = "\t\b\n\r\f\"'\\";
        const char* const known = at[1] == 0 ? nullptr : std::strchr(names, at[1]);
        if (known != nullptr) {
            out.push_back(values[known - names]);
            at += 2;
            continue;
        }
        const int digits = at[1] == 'u' ? 4 : at[1] == 'U' ? 8 : 0;
        if (digits == 0 || end - at < 2 + digits) return false;
        uint64_t point = 0;
        for (int place = 2; place < 2 + digits; ++place) {
            const int digit = hex(static_cast<unsigned char>(at[place]));
            if (digit < 0) return false;
            point = point * 16 + static_cast<uint64_t>(digit);
        }
        if (point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) return false;
        if (point < 0x80) {
            out.push_back(static_cast<char>(point));
        } else {
            const int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
            out.push_back(static_cast<char>((0xFF00 >> (more + 1) & 0xFF) | (point >> (6 * more))));
            for (int left = more - 1; left >= 0; --left) out.push_back(static_cast<char>(0x80 | (point >> (6 * left) & 0x3F)));
        }
        at += 2 + digits;
    }
    return true;
}

// Takes one line apart.
struct Line {
    const char* at;
    const char* end;
    bool trusted;
    std::string& scratch;

    void blanks() {
        while (at < end && (*at == ' ' || *at == '\t')) ++at;
    }
    bool iri(Span& out) {  // at "<"
        const char* const close = static_cast<const char*>(std::memchr(at + 1, '>', static_cast<size_t>(end - at - 1)));
        if (close == nullptr) return false;
        out = {at + 1, static_cast<size_t>(close - at - 1)};
        at = close + 1;
        return true;
    }
    bool blank(Span& out) {  // at "_"
        if (end - at < 3 || at[1] != ':') return false;
        const char* stop = at + 2;
        if (trusted) {
            while (stop < end && *stop != ' ') ++stop;
        } else {
            if (!is_a(static_cast<unsigned char>(*stop), LABEL_START)) return false;
            while (stop < end && is_a(static_cast<unsigned char>(*stop), LABEL)) ++stop;
            if (stop == end || (*stop != ' ' && *stop != '\t')) return false;
        }
        out = {at + 2, static_cast<size_t>(stop - at - 2)};
        at = stop;
        return true;
    }
    bool node(Span& out, Kind& kind) {
        if (at == end) return false;
        if (*at == '_') {
            kind = BLANK;
            return blank(out);
        }
        if (*at != '<') return false;
        kind = IRI;
        return iri(out);
    }
    bool text(Statement& out) {  // at the opening quote
        const char* const begin = ++at;
        const char* close = begin;
        bool escaped = false;
        for (;; ++close) {
            close = static_cast<const char*>(std::memchr(close, '"', static_cast<size_t>(end - close)));
            if (close == nullptr) return false;
            const char* slash = close;
            while (slash > begin && slash[-1] == '\\') --slash;
            if ((close - slash) % 2 == 0) break;
        }
        out.object = {begin, static_cast<size_t>(close - begin)};
        escaped = std::memchr(begin, '\\', out.object.length) != nullptr;
        if (!trusted && !is_utf8(begin, close)) return false;
        if (escaped) {
            out.decoded = static_cast<int64_t>(scratch.size());
            if (!unescape(out.object, scratch)) return false;
            out.object = {nullptr, scratch.size() - static_cast<size_t>(out.decoded)};
        }
        at = close + 1;
        return true;
    }
    bool plain_language(const Span& tag) const {
        const char* const stop = tag.at + tag.length;
        const char* part = tag.at;
        while (part < stop && is_letter(static_cast<unsigned char>(*part))) ++part;
        if (part - tag.at < 2 || part - tag.at > 3) return false;
        if (part == stop) return true;
        if (*part++ != '-') return false;
        const auto length = stop - part;
        if (length == 2) return is_letter(static_cast<unsigned char>(part[0])) && is_letter(static_cast<unsigned char>(part[1]));
        return length == 3 && is_digit(static_cast<unsigned char>(part[0])) && is_digit(static_cast<unsigned char>(part[1])) &&
               is_digit(static_cast<unsigned char>(part[2]));
    }
    bool literal(Statement& out) {
        out.object_kind = LITERAL;
        if (!text(out)) return false;
        if (at < end && *at == '@') {
            const char* const begin = ++at;
            while (at < end && *at != ' ' && *at != '\t' && *at != '.') ++at;
            out.language = {begin, static_cast<size_t>(at - begin)};
            if (!trusted) return plain_language(out.language);
            for (size_t place = 0; place + 1 < out.language.length; ++place)
                if (begin[place] == '-' && begin[place + 1] == '-') {
                    out.directed = true;
                    out.language.length = place;
                }
            return true;
        }
        if (at < end && *at == '^') {
            if (end - at < 3 || at[1] != '^' || at[2] != '<') return false;
            at += 2;
            return iri(out.datatype);
        }
        return true;
    }
    bool object(Statement& out) {
        if (at == end) return false;
        return *at == '"' ? literal(out) : node(out.object, out.object_kind);
    }
    bool quoted() const { return trusted && end - at > 2 && at[0] == '<' && at[1] == '<'; }

    // False where the line is not plain. A line without a statement leaves the subject's kind NOTHING.
    bool statement(Statement& out, bool quads) {
        blanks();
        if (at == end) return true;
        if (*at == '#') return is_ascii(at, end);
        if (quoted()) {
            out.subject_kind = QUOTED;
            return true;
        }
        if (!node(out.subject, out.subject_kind)) return false;
        blanks();
        Kind predicate = NOTHING;
        if (!node(out.predicate, predicate) || predicate != IRI) return false;
        blanks();
        if (quoted()) {
            out.subject_kind = QUOTED;
            return true;
        }
        if (!object(out)) return false;
        blanks();
        if (quads && at < end && *at != '.') {
            if (!node(out.graph, out.graph_kind)) return false;
            blanks();
        }
        if (at == end || *at != '.') return false;
        ++at;
        blanks();
        return at == end || (*at == '#' && is_ascii(at, end));
    }
};

enum Role : int32_t { PLAIN = -1, TYPE = -2, DENIED = -3 };  // 0 and more: a label of that rank

struct Rules {
    std::vector<std::string> labels, allowed, denied, inside, outside, preferred;
    std::string type;
    bool drop_blank = false, keep_lines = false, keep_labels = false;

    static bool fits(const Span& iri, const std::vector<std::string>& rules) {
        for (const std::string& rule : rules) {
            const char last = rule.empty() ? 0 : rule.back();
            if (last == '/' || last == '#' || last == ':' ? starts(iri, rule) : same(iri, rule)) return true;
        }
        return false;
    }
    int32_t role(const Span& iri) const {
        if (fits(iri, denied)) return DENIED;
        for (size_t rank = 0; rank < labels.size(); ++rank)
            if (same(iri, labels[rank])) return static_cast<int32_t>(rank);
        if (same(iri, type)) return TYPE;
        return allowed.empty() || fits(iri, allowed) ? PLAIN : DENIED;
    }
    // How near a label's language (in lower case) is to what is wanted: its position among the preferred ones, then none and "mul", then others.
    int32_t near(const std::string& tag) const {
        const size_t primary = tag.find('-') == std::string::npos ? tag.size() : tag.find('-');
        const int32_t count = static_cast<int32_t>(preferred.size());
        for (int32_t place = 0; place < count; ++place)
            if (primary == preferred[place].size() && tag.compare(0, primary, preferred[place]) == 0) return place;
        return tag.empty() || tag == "mul" ? count : count + 1;
    }
    bool outlaw(const Span& iri) const { return fits(iri, outside) || (!inside.empty() && !fits(iri, inside)); }
};

const std::string STRING = "http://www.w3.org/2001/XMLSchema#string";
const std::string LANGUAGE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#langString";
const std::string DIRECTED = "http://www.w3.org/1999/02/22-rdf-syntax-ns#dirLangString";
constexpr int64_t MOST = INT32_MAX - 1;
constexpr int AHEAD = 48;

enum Count { STATEMENTS, QUOTED_TRIPLES, CLASSLESS, BY_PREDICATE, BY_NAMESPACE, BY_BLANK, BLANKS, COUNTS };

struct Reader {
    bool quads;
    Rules rules;
    Interner terms, names, predicates, languages, labels_of_blanks;
    Column<int32_t> predicate_role, predicate_term, predicate_name, blank_term;
    Column<int32_t> head, relation, tail, graph;
    Column<int64_t> line;
    Column<int32_t> label_term, label_rank, type_term, type_name;
    Column<int64_t> label_attribute;
    Texts label_text;
    Literals attributes;
    int64_t counts[COUNTS] = {};
    std::string scratch, small;
    Statement ahead[AHEAD];

    explicit Reader(bool with_graphs) : quads(with_graphs) {
        std::random_device source;
        const Hash keyed{(static_cast<uint64_t>(source()) << 32) | source()};
        terms.hash = names.hash = predicates.hash = languages.hash = labels_of_blanks.hash = attributes.hash = keyed;
        terms.with_blank = true;
    }

    int32_t name(const char* text, size_t length) { return static_cast<int32_t>(names.intern(text, length)); }

    int32_t term(const Span& span, Kind kind, uint64_t code, int64_t known) {
        if (kind == BLANK) return blank(span);
        if (known == MISSING) known = terms.find(span.at, span.length, code);
        if (known != MISSING) return static_cast<int32_t>(known);
        if (terms.texts.count() >= MOST) throw Full();
        return static_cast<int32_t>(terms.add(span.at, span.length, code));
    }
    int32_t blank(const Span& label) {
        const int64_t number = labels_of_blanks.intern(label.at, label.length);
        if (number < blank_term.size) return blank_term.data[number];
        if (terms.texts.count() >= MOST) throw Full();
        const std::string key = "_:b" + std::to_string(number);
        terms.texts.push(key.data(), key.size());
        blank_term.push(static_cast<int32_t>(terms.texts.count() - 1));
        return blank_term.data[number];
    }
    static bool known_or_plain(const Interner& where, const Span& iri) {
        const bool known = iri.length != 0 && is_letter(static_cast<unsigned char>(iri.at[0])) &&
                           where.find(iri.at, iri.length, where.hash(iri.at, iri.length)) != MISSING;
        return known || is_plain_iri(iri);
    }
    // Whether every IRI of the statement is valid beyond doubt; what is known already was valid when it came.
    bool plain(Statement& s) const {
        s.predicate_number = predicates.find(s.predicate.at, s.predicate.length, predicates.hash(s.predicate.at, s.predicate.length));
        if (s.predicate_number == MISSING && !is_plain_iri(s.predicate)) return false;
        if (s.subject_kind == IRI) {
            s.subject_number = terms.find(s.subject.at, s.subject.length, s.subject_code);
            if (s.subject_number == MISSING && !is_plain_iri(s.subject)) return false;
        }
        if (s.object_kind == IRI) {
            s.object_number = terms.find(s.object.at, s.object.length, s.object_code);
            if (s.object_number == MISSING && !known_or_plain(names, s.object)) return false;
        }
        if (s.datatype.at != nullptr) {
            if (same(s.datatype, LANGUAGE) || same(s.datatype, DIRECTED)) return false;
            if (!known_or_plain(names, s.datatype)) return false;
        }
        return s.graph_kind != IRI || known_or_plain(names, s.graph);
    }
    int64_t predicate(const Span& iri) {
        const int64_t number = predicates.intern(iri.at, iri.length);
        if (number == predicate_role.size) {
            if (number >= MOST) throw Full();
            predicate_role.push(rules.role(iri));
            predicate_term.push(-1);
            predicate_name.push(-1);
        }
        return number;
    }
    bool left_out(const Statement& s, int32_t role) {
        if (role == DENIED) return ++counts[BY_PREDICATE], true;
        if (rules.drop_blank && (s.subject_kind == BLANK || s.object_kind == BLANK)) return ++counts[BY_BLANK], true;
        const bool entity = s.object_kind == IRI && role != TYPE;
        if ((s.subject_kind == IRI && rules.outlaw(s.subject)) || (entity && rules.outlaw(s.object))) return ++counts[BY_NAMESPACE], true;
        return false;
    }
    void take(const Statement& s) {
        ++counts[STATEMENTS];
        if (s.subject_kind == QUOTED) {
            ++counts[QUOTED_TRIPLES];
            return;
        }
        const int64_t number = s.predicate_number != MISSING ? s.predicate_number : predicate(s.predicate);
        const int32_t role = predicate_role.data[number];
        if (left_out(s, role)) return;
        const int32_t first = term(s.subject, s.subject_kind, s.subject_code, s.subject_number);
        if (s.object_kind == LITERAL) {
            take_literal(s, first, number, role);
        } else if (role == TYPE) {
            if (s.object_kind == BLANK) {
                ++counts[CLASSLESS];
            } else {
                type_term.push(first);
                type_name.push(name(s.object.at, s.object.length));
            }
        } else {
            take_triple(s, first, number);
        }
    }
    void take_triple(const Statement& s, int32_t first, int64_t number) {
        if (predicate_term.data[number] < 0)
            predicate_term.data[number] = term(s.predicate, IRI, terms.hash(s.predicate.at, s.predicate.length), MISSING);
        head.push(first);
        relation.push(predicate_term.data[number]);
        tail.push(term(s.object, s.object_kind, s.object_code, s.object_number));
        line.push(s.line);
        if (s.graph_kind == NOTHING && graph.size == 0) return;
        while (graph.size < head.size - 1) graph.push(-1);
        graph.push(s.graph_kind == NOTHING ? -1 : graph_name(s));
    }
    int32_t graph_name(const Statement& s) {
        if (s.graph_kind == IRI) return name(s.graph.at, s.graph.length);
        const int64_t own = blank(s.graph);
        const int64_t begin = terms.texts.begin(own);
        return name(terms.texts.bytes.data + begin, static_cast<size_t>(terms.texts.ends.data[own] - begin));
    }
    void take_literal(const Statement& s, int32_t first, int64_t number, int32_t role) {
        const char* const text = s.decoded == MISSING ? s.object.at : scratch.data() + s.decoded;
        small.assign(s.language.at == nullptr ? "" : s.language.at, s.language.length);
        for (char& c : small)
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 32);
        if (role >= 0 && !rules.keep_labels) {
            label_text.push(text, s.object.length);
            take_label(first, role);
            return;
        }
        if (predicate_name.data[number] < 0) predicate_name.data[number] = name(s.predicate.at, s.predicate.length);
        const std::string& usual = s.directed ? DIRECTED : s.language.at != nullptr ? LANGUAGE : STRING;
        const int32_t type = s.datatype.at != nullptr ? name(s.datatype.at, s.datatype.length) : name(usual.data(), usual.size());
        const int32_t tag = static_cast<int32_t>(languages.intern(small.data(), small.size()));
        attributes.push(first, predicate_name.data[number], type, tag, text, s.object.length);
        if (rules.keep_lines) {
            attributes.line.push(s.line);
        } else if (!attributes.keep_new()) {
            return;
        }
        if (role < 0) return;
        label_attribute.push(attributes.count() - 1);
        take_label(first, role);
    }
    void take_label(int32_t first, int32_t role) {
        label_term.push(first);
        label_rank.push(rules.near(small) * static_cast<int32_t>(rules.labels.size()) + role);
    }

    // state: where the line that is not plain begins, where the next one begins, its number.
    int32_t feed(const char* data, int64_t size, bool trusted, int64_t number, int64_t step, int64_t* state) {
        const char* at = data;
        const char* const end = data + size;
        const char* begins[AHEAD];
        int64_t numbers[AHEAD];
        while (at < end) {
            int count = 0;
            bool odd = false;
            scratch.clear();
            const char* next = at;
            while (count < AHEAD && next < end && !odd) {
                Statement& s = ahead[count];
                s = Statement();
                s.line = number;
                const char* const start = next;
                const char* stop = static_cast<const char*>(std::memchr(start, '\n', static_cast<size_t>(end - start)));
                next = stop == nullptr ? end : stop + 1;
                if (stop == nullptr) stop = end;
                if (stop > start && stop[-1] == '\r' && next != stop) --stop;
                Line line{start, stop, trusted, scratch};
                odd = std::memchr(start, '\r', static_cast<size_t>(stop - start)) != nullptr || !line.statement(s, quads);
                if (odd) {
                    next = start;
                    break;
                }
                if (s.subject_kind == IRI) terms.prefetch(s.subject_code = terms.hash(s.subject.at, s.subject.length));
                if (s.object_kind == IRI) terms.prefetch(s.object_code = terms.hash(s.object.at, s.object.length));
                begins[count] = start;
                numbers[count] = number;
                number += step;
                if (s.subject_kind != NOTHING) ++count;
            }
            for (int place = 0; place < count; ++place) {
                if (ahead[place].subject_kind == IRI) terms.prefetch_text(ahead[place].subject_code);
                if (ahead[place].object_kind == IRI) terms.prefetch_text(ahead[place].object_code);
            }
            for (int place = 0; place < count; ++place) {
                if (!trusted && !plain(ahead[place])) {
                    next = begins[place];
                    number = numbers[place];
                    odd = true;
                    break;
                }
                take(ahead[place]);
            }
            at = next;
            if (odd) {
                const char* const stop = static_cast<const char*>(std::memchr(at, '\n', static_cast<size_t>(end - at)));
                state[0] = at - data;
                state[1] = (stop == nullptr ? end : stop + 1) - data;
                state[2] = number;
                return 1;
            }
        }
        state[2] = number;
        return 0;
    }
};

// Arrow's C data interface, as its specification lays it out.
struct ArrowSchema {
    const char* format;
    const char* name;
    const char* metadata;
    int64_t flags;
    int64_t n_children;
    ArrowSchema** children;
    ArrowSchema* dictionary;
    void (*release)(ArrowSchema*);
    void* private_data;
};
struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void** buffers;
    ArrowArray** children;
    ArrowArray* dictionary;
    void (*release)(ArrowArray*);
    void* private_data;
};

void release_schema(ArrowSchema* schema) { schema->release = nullptr; }

void release_array(ArrowArray* array) {
    for (int64_t place = 0; place < array->n_buffers; ++place) std::free(const_cast<void*>(array->buffers[place]));
    std::free(array->buffers);
    array->release = nullptr;
}

void describe(const char* format, int64_t length, int64_t buffers, ArrowSchema* schema, ArrowArray* array) {
    *schema = ArrowSchema{format, "", nullptr, 0, 0, nullptr, nullptr, release_schema, nullptr};
    *array = ArrowArray{length, 0, 0, buffers, 0, nullptr, nullptr, nullptr, release_array, nullptr};
    array->buffers = static_cast<const void**>(std::calloc(static_cast<size_t>(buffers), sizeof(void*)));
    if (array->buffers == nullptr) throw std::bad_alloc();
}

template <class T>
void give(Column<T>& column, const char* format, ArrowSchema* schema, ArrowArray* array) {
    column.reserve(1);
    describe(format, column.size, 2, schema, array);
    array->buffers[1] = column.release();
}

void give(Texts& texts, ArrowSchema* schema, ArrowArray* array) {
    texts.bytes.reserve(1);
    texts.ends.reserve(texts.ends.size + 1);
    describe("U", texts.count(), 3, schema, array);
    std::memmove(texts.ends.data + 1, texts.ends.data, static_cast<size_t>(texts.ends.size) * sizeof(int64_t));
    texts.ends.data[0] = 0;
    array->buffers[1] = texts.ends.release();
    array->buffers[2] = texts.bytes.release();
}

template <class Work>
int32_t guarded(Work work) {
    try {
        return work();
    } catch (const Full&) {
        return -1;
    } catch (const std::bad_alloc&) {
        return -2;
    }
}

}  // namespace

extern "C" {

int32_t kgrec_ntriples_version() { return 5; }

void* kgrec_ntriples_new(int32_t quads) {
    try {
        return new Reader(quads != 0);
    } catch (...) {
        return nullptr;
    }
}

void kgrec_ntriples_free(void* reader) { delete static_cast<Reader*>(reader); }

// kind: 0 label predicate, 1 predicate allowed, 2 denied, 3 namespace allowed, 4 denied, 5 class predicate, 6 preferred language, 7 drop blank nodes,
// 8 keep the lines of literals, 9 keep labels as attributes too
int32_t kgrec_ntriples_rule(void* reader, int32_t kind, const char* text, int64_t length) {
    return guarded([&] {
        Rules& rules = static_cast<Reader*>(reader)->rules;
        std::vector<std::string>* const lists[] = {&rules.labels, &rules.allowed, &rules.denied, &rules.inside, &rules.outside};
        std::string value(text, static_cast<size_t>(length));
        if (kind < 5) lists[kind]->push_back(std::move(value));
        if (kind == 5) rules.type = std::move(value);
        if (kind == 6) rules.preferred.push_back(std::move(value));
        if (kind == 7) rules.drop_blank = true;
        if (kind == 8) rules.keep_lines = true;
        if (kind == 9) rules.keep_labels = true;
        return 0;
    });
}

// 0: all taken. 1: stopped at a line that is not plain, see ``state``. -1: more terms than int32 numbers. -2: no memory.
int32_t kgrec_ntriples_feed(void* reader, const char* data, int64_t size, int32_t trusted, int64_t line, int64_t step, int64_t* state) {
    return guarded([&] { return static_cast<Reader*>(reader)->feed(data, size, trusted != 0, line, step, state); });
}

void kgrec_ntriples_counts(void* reader, int64_t* out) {
    Reader& own = *static_cast<Reader*>(reader);
    own.counts[BLANKS] = own.labels_of_blanks.texts.count();
    std::memcpy(out, own.counts, sizeof(own.counts));
}

// Moves a column out; the receiver frees it.
int32_t kgrec_ntriples_give(void* reader, int32_t column, ArrowSchema* schema, ArrowArray* array) {
    return guarded([&] {
        Reader& own = *static_cast<Reader*>(reader);
        Column<int32_t>* const numbers[] = {&own.head,       &own.relation,        &own.tail,          &own.graph,
                                            &own.label_term, &own.label_rank,      &own.type_term,     &own.type_name,
                                            &own.attributes.term, &own.attributes.name, &own.attributes.datatype, &own.attributes.language};
        Column<int64_t>* const lines[] = {&own.line, &own.attributes.line, &own.label_attribute};
        Texts* const texts[] = {&own.terms.texts, &own.names.texts, &own.label_text, &own.attributes.value, &own.languages.texts, &own.predicates.texts};
        if (column < 12) give(*numbers[column], "i", schema, array);
        else if (column < 15) give(*lines[column - 12], "l", schema, array);
        else if (column < 21) give(*texts[column - 15], schema, array);
        else return 3;
        return 0;
    });
}

// Marks the triples that are stated for the first time and whose head is not their tail.
int32_t kgrec_ntriples_first(const int32_t* head, const int32_t* relation, const int32_t* tail, int64_t size, uint8_t* first) {
    return guarded([&] {
        if (size >= UINT32_MAX) return 3;
        uint64_t room = 64;
        while (room * 3 < static_cast<uint64_t>(size) * 5) room *= 2;
        uint32_t* const slots = static_cast<uint32_t*>(zeroed(room * sizeof(uint32_t)));
        constexpr int64_t FAR = 24;
        const uint64_t mask = room - 1;
        const uint64_t key = std::random_device()() | 1ULL;
        const auto code = [&](int64_t row) {
            const uint64_t ends = (static_cast<uint64_t>(static_cast<uint32_t>(head[row])) << 32) | static_cast<uint32_t>(tail[row]);
            return mixed(ends ^ 0x9E3779B97F4A7C15ULL, (static_cast<uint64_t>(static_cast<uint32_t>(relation[row])) << 1 | 1) * 0xD1B54A32D192ED03ULL ^ key);
        };
        for (int64_t row = 0; row < size; ++row) {
            if (row + FAR < size) __builtin_prefetch(&slots[code(row + FAR) & mask]);
            first[row] = 0;
            if (head[row] == tail[row]) continue;
            uint64_t at = code(row) & mask;
            bool seen = false;
            for (; slots[at] != 0 && !seen; at = (at + 1) & mask) {
                const uint32_t other = slots[at] - 1;
                seen = head[other] == head[row] && tail[other] == tail[row] && relation[other] == relation[row];
            }
            if (seen) continue;
            slots[at] = static_cast<uint32_t>(row) + 1;
            first[row] = 1;
        }
        std::free(slots);
        return 0;
    });
}

// Distinct texts of columns, numbered as they come.
void* kgrec_keys_new() {
    try {
        Interner* const keys = new Interner();
        keys->hash.key = (static_cast<uint64_t>(std::random_device()()) << 32) | std::random_device()();
        return keys;
    } catch (...) {
        return nullptr;
    }
}

void kgrec_keys_free(void* keys) { delete static_cast<Interner*>(keys); }

int64_t kgrec_keys_count(void* keys) { return static_cast<Interner*>(keys)->texts.count(); }

// Numbers texts that lie one after another, of the lengths given. -1: more than int32 numbers. -2: no memory.
int32_t kgrec_keys_number(void* keys, const char* text, const uint32_t* lengths, int64_t count, int32_t* out) {
    return guarded([&] {
        Interner& own = *static_cast<Interner*>(keys);
        constexpr int64_t BLOCK = 64;
        uint64_t codes[BLOCK];
        for (int64_t row = 0; row < count; row += BLOCK) {
            const int64_t block = count - row < BLOCK ? count - row : BLOCK;
            if (own.texts.count() + block > INT32_MAX) throw Full();
            const char* at = text;
            for (int64_t place = 0; place < block; ++place) {
                codes[place] = own.hash(at, lengths[row + place]);
                own.prefetch(codes[place]);
                at += lengths[row + place];
            }
            for (int64_t place = 0; place < block; ++place) own.prefetch_text(codes[place]);
            for (int64_t place = 0; place < block; ++place) {
                const size_t length = lengths[row + place];
                int64_t number = own.find(text, length, codes[place]);
                if (number == MISSING) number = own.add(text, length, codes[place]);
                out[row + place] = static_cast<int32_t>(number);
                text += length;
            }
        }
        return 0;
    });
}

// Moves the texts out; the receiver frees them.
int32_t kgrec_keys_give(void* keys, ArrowSchema* schema, ArrowArray* array) {
    return guarded([&] {
        give(static_cast<Interner*>(keys)->texts, schema, array);
        return 0;
    });
}
}
