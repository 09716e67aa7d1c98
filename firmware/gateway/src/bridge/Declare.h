// READING, OUTPUT_, ACTION and their options: turns the lines of a sketch into tables in flash.
//
// All of this runs in the compiler. Types come from the functions' signatures; a wrong line stops the compiler with a
// message that begins with "BRIDGE:", or with the name of one of the functions under "messages" below.
// The tables are constexpr for that reason: the Arduino IDE compiles with -fpermissive -w, and would take a wrong
// `const` line without a word.
#pragma once
#include "Tables.h"

namespace bridging {

// ---- messages: never defined, their names are the text of the compiler's error -----------------------------------

uint8_t a_NAME_has_a_to_z_0_to_9_and_underscore_and_starts_with_a_letter();
uint8_t a_RANGE_or_SAFE_value_does_not_fit_the_type_of_the_function();
uint8_t a_RANGE_has_its_minimum_above_its_maximum();
uint8_t the_SAFE_value_lies_outside_the_RANGE();
uint8_t HOLD_REQUIRED_needs_a_SAFE_value();
uint8_t SAFE_and_HOLD_REQUIRED_are_for_outputs();
uint8_t SCALE_is_for_integers();
uint8_t a_SCALE_goes_from_minus_9_to_9();

// ---- types -------------------------------------------------------------------------------------------------------

template <size_t size, bool isSigned> struct IntegerType;
template <> struct IntegerType<1, false> { static constexpr Type type = kU8; };
template <> struct IntegerType<1, true> { static constexpr Type type = kI8; };
template <> struct IntegerType<2, false> { static constexpr Type type = kU16; };
template <> struct IntegerType<2, true> { static constexpr Type type = kI16; };
template <> struct IntegerType<4, false> { static constexpr Type type = kU32; };
template <> struct IntegerType<4, true> { static constexpr Type type = kI32; };

template <class T> struct TypeOf {
  static_assert(sizeof(T) == 0, "BRIDGE: a value must be bool, an integer of at most 4 bytes, or float");
  static constexpr Type type = kNone;
};
template <> struct TypeOf<void> { static constexpr Type type = kNone; };
template <> struct TypeOf<bool> { static constexpr Type type = kBool; };
template <> struct TypeOf<float> { static constexpr Type type = kF32; };
template <> struct TypeOf<char> : IntegerType<1, (char(-1) < 0)> {};
template <> struct TypeOf<signed char> : IntegerType<1, true> {};
template <> struct TypeOf<unsigned char> : IntegerType<1, false> {};
template <> struct TypeOf<short> : IntegerType<sizeof(short), true> {};
template <> struct TypeOf<unsigned short> : IntegerType<sizeof(short), false> {};
template <> struct TypeOf<int> : IntegerType<sizeof(int), true> {};
template <> struct TypeOf<unsigned> : IntegerType<sizeof(int), false> {};
#if __SIZEOF_LONG__ == 4
template <> struct TypeOf<long> : IntegerType<4, true> {};
template <> struct TypeOf<unsigned long> : IntegerType<4, false> {};
#endif

template <class T> Bits toBits(T value) { return Bits(value); }
inline Bits toBits(float value) {
  Bits bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
template <class T> T fromBits(Bits bits) { return T(bits); }
template <> inline float fromBits<float>(Bits bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
template <class T> T fromBytes(const uint8_t *bytes) {
  T value;
  memcpy(&value, bytes, sizeof value);
  return value;
}
template <> inline bool fromBytes<bool>(const uint8_t *bytes) { return *bytes; }

// ---- limits ------------------------------------------------------------------------------------------------------

// The bits of a float, in the compiler: magnitude = mantissa in 1..2, times 2^exponent.
constexpr Bits magnitudeBits(float mantissa, int exponent) {
  return mantissa == 0      ? 0
         : mantissa >= 2    ? magnitudeBits(mantissa / 2, exponent + 1)
         : mantissa >= 1    ? (Bits(exponent + 127) << 23) + Bits(mantissa * 8388608.0f) - 8388608
         : exponent == -126 ? Bits(mantissa * 8388608.0f)
                            : magnitudeBits(mantissa * 2, exponent - 1);
}
constexpr Bits floatBits(float value) {
  return value < 0 ? 0x80000000 | magnitudeBits(-value, 0) : magnitudeBits(value, 0);
}

constexpr bool isSigned(Type type) { return type == kI8 || type == kI16 || type == kI32; }
constexpr int64_t span(Type type) { return type == kBool ? 2 : int64_t(1) << 8 * sizeOf(type); }
constexpr int64_t lowest(Type type) { return isSigned(type) ? -span(type) / 2 : 0; }
constexpr int64_t highest(Type type) { return lowest(type) + span(type) - 1; }

constexpr Bits leastBits(Type type) { return type == kF32 ? floatBits(-__FLT_MAX__) : Bits(lowest(type)); }
constexpr Bits mostBits(Type type) { return type == kF32 ? floatBits(__FLT_MAX__) : Bits(highest(type)); }

// A number written in the sketch, as the bits of a type that can hold it.
template <class N> constexpr Bits numberBits(Type type, N number) {
  return type == kF32 ? floatBits(number)
         : N(int64_t(number)) == number && int64_t(number) >= lowest(type) && int64_t(number) <= highest(type)
             ? Bits(int64_t(number))
             : a_RANGE_or_SAFE_value_does_not_fit_the_type_of_the_function();
}

constexpr Bits orderedFloat(Bits bits) { return bits & 0x80000000 ? ~bits : bits ^ 0x80000000; }
constexpr bool isBelow(Type type, Bits a, Bits b) {
  return type == kF32 ? orderedFloat(a) < orderedFloat(b) : isSigned(type) ? int32_t(a) < int32_t(b) : a < b;
}

// ---- options: what may follow the function of a line, in any order -------------------------------------------------

template <class A, class B> struct RangeOption { A least; B most; };
template <class A> struct SafeOption { A value; };
struct HoldOption {};
struct ScaleOption { int8_t power; };

template <class A, class B> constexpr RangeOption<A, B> range(A least, B most) { return {least, most}; }
template <class A> constexpr SafeOption<A> safe(A value) { return {value}; }

struct Traits {
  Type type;
  uint8_t flags;
  int8_t scale;
  Bits least, most, safe;
};

constexpr Traits traitsOf(Type type, uint8_t flags) { return {type, flags, 0, leastBits(type), mostBits(type), 0}; }

constexpr Traits with(Traits t) { return t; }
template <class A, class B, class... Rest> constexpr Traits with(Traits t, RangeOption<A, B> o, Rest... rest) {
  return with(Traits{t.type, t.flags, t.scale, numberBits(t.type, o.least), numberBits(t.type, o.most), t.safe}, rest...);
}
template <class A, class... Rest> constexpr Traits with(Traits t, SafeOption<A> o, Rest... rest) {
  return with(Traits{t.type, uint8_t(t.flags | kHasSafe), t.scale, t.least, t.most, numberBits(t.type, o.value)}, rest...);
}
template <class... Rest> constexpr Traits with(Traits t, HoldOption, Rest... rest) {
  return with(Traits{t.type, uint8_t(t.flags | kNeedsHold), t.scale, t.least, t.most, t.safe}, rest...);
}
template <class... Rest> constexpr Traits with(Traits t, ScaleOption o, Rest... rest) {
  return with(Traits{t.type, t.flags, o.power, t.least, t.most, t.safe}, rest...);
}
template <class Other, class... Rest> constexpr Traits with(Traits t, Other, Rest...) {
  static_assert(sizeof(Other) == 0, "BRIDGE: the options of a line are RANGE(...), SAFE(...), SCALE(...) and HOLD_REQUIRED");
  return t;
}

constexpr Traits checked(Traits t) {
  return isBelow(t.type, t.most, t.least) ? (a_RANGE_has_its_minimum_above_its_maximum(), t)
         : !(t.flags & kWritable) && t.flags & (kHasSafe | kNeedsHold) ? (SAFE_and_HOLD_REQUIRED_are_for_outputs(), t)
         : t.flags & kNeedsHold && !(t.flags & kHasSafe) ? (HOLD_REQUIRED_needs_a_SAFE_value(), t)
         : t.flags & kHasSafe && (isBelow(t.type, t.safe, t.least) || isBelow(t.type, t.most, t.safe))
             ? (the_SAFE_value_lies_outside_the_RANGE(), t)
         : t.scale && (t.type == kBool || t.type == kF32) ? (SCALE_is_for_integers(), t)
         : t.scale < -9 || t.scale > 9 ? (a_SCALE_goes_from_minus_9_to_9(), t)
                                       : t;
}

// ---- texts -------------------------------------------------------------------------------------------------------

constexpr bool isLetter(char c) { return c >= 'a' && c <= 'z'; }
constexpr bool isNameTail(const char *s) {
  return !*s || ((isLetter(*s) || (*s >= '0' && *s <= '9') || *s == '_') && isNameTail(s + 1));
}
constexpr uint16_t lengthOf(const char *s) { return *s ? 1 + lengthOf(s + 1) : 0u; }
constexpr bool isSame(const char *a, const char *b) { return *a == *b && (!*a || isSame(a + 1, b + 1)); }

template <size_t N> constexpr const char *name(const char (&text)[N]) {
  static_assert(N <= 17, "BRIDGE: a name has at most 16 characters");
  return isLetter(*text) && isNameTail(text) ? text
         : (a_NAME_has_a_to_z_0_to_9_and_underscore_and_starts_with_a_letter(), text);
}
template <size_t N> constexpr const char *unit(const char (&text)[N]) {
  static_assert(N <= 9, "BRIDGE: a unit has at most 8 bytes");
  return text;
}
template <size_t N> constexpr const char *description(const char (&text)[N]) {
  static_assert(N <= 31, "BRIDGE: the description of an action has at most 30 bytes");
  return text;
}

// ---- lines: one record each ----------------------------------------------------------------------------------------

struct Line {
  uint8_t head[kChannelHead];
  uint8_t headSize;
  const char *first, *second;
};

constexpr uint16_t sizeOf(const Line &l) { return l.headSize + 2 + lengthOf(l.first) + lengthOf(l.second); }
constexpr uint8_t textByte(const char *text, uint16_t i) { return i == 0 ? lengthOf(text) : text[i - 1]; }
constexpr uint8_t byteOf(const Line &l, uint16_t i) {
  return i < l.headSize                            ? l.head[i]
         : i <= l.headSize + lengthOf(l.first)     ? textByte(l.first, i - l.headSize)
                                                   : textByte(l.second, i - l.headSize - lengthOf(l.first) - 1);
}

constexpr uint8_t byteOf(Bits bits, uint8_t i) { return uint8_t(bits >> 8 * i); }
#define BRIDGE_BYTES(bits) byteOf(bits, 0), byteOf(bits, 1), byteOf(bits, 2), byteOf(bits, 3)

constexpr Line channelLine(const char *name, const char *unit, Traits t) {
  return {{t.type, t.flags, uint8_t(t.scale), BRIDGE_BYTES(t.least), BRIDGE_BYTES(t.most), BRIDGE_BYTES(t.safe)},
          kChannelHead, name, unit};
}
constexpr Line argumentLine(const char *name, const char *unit, Traits t) {
  return {{t.type, uint8_t(t.scale), BRIDGE_BYTES(t.least), BRIDGE_BYTES(t.most)}, kArgumentHead, name, unit};
}
constexpr Line actionLine(const char *name, const char *text, uint8_t arguments, Type result) {
  return {{arguments, result, 0}, kActionHead, name, text};
}
constexpr Line noLine() { return {{}, 0, "", ""}; }

// ---- channels ------------------------------------------------------------------------------------------------------

struct ChannelRow {
  Line line;
  Access access;
};

template <class F, F function> struct Reading {
  static_assert(sizeof(F) == 0, "BRIDGE: a READING needs a function without parameters that returns its value");
};
template <class T, T (*function)()> struct Reading<T (*)(), function> {
  static constexpr Type type = TypeOf<T>::type;
  static_assert(type != kNone, "BRIDGE: a READING needs a function that returns its value, not a void one");
  static constexpr uint8_t flags = kReadable;
  static Bits access() { return toBits(function()); }
};

template <class F, F function> struct Writing {
  static_assert(sizeof(F) == 0, "BRIDGE: an OUTPUT_ needs a void function with one parameter, its value");
};
template <class T, void (*function)(T)> struct Writing<void (*)(T), function> {
  static constexpr Type type = TypeOf<T>::type;
  static constexpr uint8_t flags = kReadable | kWritable;
  static void access(Bits value) { function(fromBits<T>(value)); }
};

template <class X, size_t N, size_t M, class... Options>
constexpr ChannelRow channel(const char (&nameText)[N], const char (&unitText)[M], Options... options) {
  return {channelLine(name(nameText), unit(unitText), checked(with(traitsOf(X::type, X::flags), options...))),
          Access(&X::access)};
}

// ---- actions -------------------------------------------------------------------------------------------------------

constexpr uint8_t kMaxArguments = 4;

struct ActionRow {
  Line line;
  uint8_t count;
  Line arguments[kMaxArguments];
  Call call;
};

template <class A, class B> struct Argument {
  const char *name, *unit;
  RangeOption<A, B> limits;
  ScaleOption scale;
};
template <size_t N, class A, class B, size_t M>
constexpr Argument<A, B> argument(const char (&text)[N], A least, B most, const char (&unitText)[M],
                                  ScaleOption scale = {0}) {
  return {name(text), unit(unitText), {least, most}, scale};
}
template <size_t N, class A, class B> constexpr Argument<A, B> argument(const char (&text)[N], A least, B most) {
  return argument(text, least, most, "");
}
template <size_t N> constexpr Argument<int, int> argument(const char (&text)[N]) {
  static_assert(N == 0, "BRIDGE: an ARG needs its name, its minimum and its maximum");
  return {text, "", {0, 0}, {0}};
}

template <size_t... I> struct Indices {};
template <class Left, class Right> struct Join;
template <size_t... L, size_t... R> struct Join<Indices<L...>, Indices<R...>> {
  typedef Indices<L..., sizeof...(L) + R...> type;
};
template <size_t N> struct Count : Join<typename Count<N / 2>::type, typename Count<N - N / 2>::type> {};
template <> struct Count<0> { typedef Indices<> type; };
template <> struct Count<1> { typedef Indices<0> type; };

// Where argument I begins: behind the sizes of those before it.
template <size_t I, class... A> struct Offset { static constexpr uint8_t value = 0; };
template <size_t I, class First, class... A> struct Offset<I, First, A...> {
  static constexpr uint8_t value = I ? sizeOf(TypeOf<First>::type) + Offset<I ? I - 1 : 0, A...>::value : 0;
};

// Unpacks the arguments of a command and calls the function with them.
template <class R, class... A, size_t... I>
inline Bits callWith(R (*function)(A...), const uint8_t *arguments, Indices<I...>) {
  (void)arguments;  // a function without parameters looks at none
  return toBits(function(fromBytes<A>(arguments + Offset<I, A...>::value)...));
}
template <class... A, size_t... I>
inline Bits callWith(void (*function)(A...), const uint8_t *arguments, Indices<I...>) {
  (void)arguments;
  function(fromBytes<A>(arguments + Offset<I, A...>::value)...);
  return 0;
}

template <class F, F function> struct Operation {
  static_assert(sizeof(F) == 0, "BRIDGE: an ACTION needs a plain function");
};
template <class R, class... A, R (*function)(A...)> struct Operation<R (*)(A...), function> {
  static_assert(sizeof...(A) <= kMaxArguments, "BRIDGE: an ACTION has at most 4 parameters");

  static Bits call(const uint8_t *arguments) {
    return callWith(function, arguments, typename Count<sizeof...(A)>::type());
  }

  template <size_t N, size_t M, class... Arguments>
  static constexpr ActionRow row(const char (&nameText)[N], const char (&text)[M], Arguments... arguments) {
    static_assert(sizeof...(Arguments) == sizeof...(A),
                  "BRIDGE: an ACTION needs one ARG for each parameter of its function");
    return {actionLine(name(nameText), description(text), sizeof...(A), TypeOf<R>::type), sizeof...(A),
            {argumentLine(arguments.name, arguments.unit,
                          checked(with(traitsOf(TypeOf<A>::type, 0), arguments.limits, arguments.scale)))...},
            &call};
  }
};

// ---- tables --------------------------------------------------------------------------------------------------------

constexpr uint16_t sizeOf(const ChannelRow &row) { return sizeOf(row.line); }
constexpr uint8_t byteOf(const ChannelRow &row, uint16_t i) { return byteOf(row.line, i); }

constexpr uint16_t linesSize(const Line *lines, uint8_t count) {
  return count ? sizeOf(*lines) + linesSize(lines + 1, count - 1) : 0u;
}
constexpr uint8_t linesByte(const Line *lines, uint16_t i) {
  return i < sizeOf(*lines) ? byteOf(*lines, i) : linesByte(lines + 1, i - sizeOf(*lines));
}
constexpr uint16_t sizeOf(const ActionRow &row) { return sizeOf(row.line) + linesSize(row.arguments, row.count); }
constexpr uint8_t byteOf(const ActionRow &row, uint16_t i) {
  return i < sizeOf(row.line) ? byteOf(row.line, i) : linesByte(row.arguments, i - sizeOf(row.line));
}

template <class Row> constexpr uint16_t tableSize(const Row *rows, size_t count) {
  return count ? sizeOf(*rows) + tableSize(rows + 1, count - 1) : 0u;
}
template <class Row> constexpr uint8_t tableByte(const Row *rows, uint16_t i) {
  return i < sizeOf(*rows) ? byteOf(*rows, i) : tableByte(rows + 1, i - sizeOf(*rows));
}

template <class T, size_t N> struct Array { T items[N]; };

template <class Row, size_t... I>
constexpr Array<uint8_t, sizeof...(I)> packRecords(const Row *rows, Indices<I...>) {
  return {{tableByte(rows, I)...}};
}
template <size_t... I> constexpr Array<Access, sizeof...(I)> packAccess(const ChannelRow *rows, Indices<I...>) {
  return {{rows[I].access...}};
}
template <size_t... I> constexpr Array<Call, sizeof...(I)> packCalls(const ActionRow *rows, Indices<I...>) {
  return {{rows[I].call...}};
}

// FNV-1a. In halves, because a compiler's recursion has its limits.
constexpr uint32_t kHashOfNothing = 2166136261;
constexpr uint32_t hashBytes(const uint8_t *bytes, size_t count, uint32_t hash) {
  return count == 0   ? hash
         : count == 1 ? (hash ^ *bytes) * 16777619
                      : hashBytes(bytes + count / 2, count - count / 2, hashBytes(bytes, count / 2, hash));
}

// What the macros below know of each other: a name declared by one of them hides the one here.
namespace undeclared {
constexpr uint32_t kChannelsHash = kHashOfNothing;
constexpr bool kHasActions = false;
}  // namespace undeclared
using namespace undeclared;

constexpr uint8_t countOutputs(const ChannelRow *rows, size_t count) {
  return count ? (rows->line.head[kChannelFlags] & kWritable ? 1 : 0) + countOutputs(rows + 1, count - 1) : 0;
}
template <class Row> constexpr bool isFree(const char *name, const Row *rows, size_t count) {
  return !count || (!isSame(name, rows->line.first) && isFree(name, rows + 1, count - 1));
}
template <class Row> constexpr bool namesDiffer(const Row *rows, size_t count) {
  return !count || (isFree(rows->line.first, rows + 1, count - 1) && namesDiffer(rows + 1, count - 1));
}
constexpr bool argumentNamesDiffer(const Line *lines, uint8_t count) {
  return count < 2 || (!isSame(lines[0].first, lines[1].first) &&
                       (count < 3 || !isSame(lines[0].first, lines[2].first)) &&
                       (count < 4 || !isSame(lines[0].first, lines[3].first)) &&
                       argumentNamesDiffer(lines + 1, count - 1));
}
constexpr bool allArgumentNamesDiffer(const ActionRow *rows, size_t count) {
  return !count || (argumentNamesDiffer(rows->arguments, rows->count) && allArgumentNamesDiffer(rows + 1, count - 1));
}

// The board record: three strings; the unique id, a fourth, lies in the EEPROM.
struct Names {
  const char *board, *sketch, *version;
};
constexpr uint16_t sizeOf(const Names &n) {
  return 3 + lengthOf(n.board) + lengthOf(n.sketch) + lengthOf(n.version);
}
constexpr uint8_t byteOf(const Names &n, uint16_t i) {
  return i <= lengthOf(n.board) ? textByte(n.board, i)
         : i <= lengthOf(n.board) + 1 + lengthOf(n.sketch)
             ? textByte(n.sketch, i - lengthOf(n.board) - 1)
             : textByte(n.version, i - lengthOf(n.board) - lengthOf(n.sketch) - 2);
}

}  // namespace bridging

// ---- what a sketch writes --------------------------------------------------------------------------------------------

#define READING(name, unit, ...) \
  bridging::channel<bridging::Reading<BRIDGE_FUNCTION(~, ##__VA_ARGS__, BRIDGE_NONE)>>( \
      name, unit BRIDGE_OPTIONS(__VA_ARGS__))
#define OUTPUT_(name, unit, ...) \
  bridging::channel<bridging::Writing<BRIDGE_FUNCTION(~, ##__VA_ARGS__, BRIDGE_NONE)>>( \
      name, unit BRIDGE_OPTIONS(__VA_ARGS__))
#define ACTION(name, text, ...) \
  bridging::Operation<BRIDGE_FUNCTION(~, ##__VA_ARGS__, BRIDGE_NONE)>::row(name, text BRIDGE_OPTIONS(__VA_ARGS__))

#define RANGE(least, most) bridging::range(least, most)
#define SAFE(value) bridging::safe(value)
#define SCALE(power) \
  bridging::ScaleOption { power }
#define HOLD_REQUIRED bridging::HoldOption()
#define ARG(...) bridging::argument(__VA_ARGS__)

// The function of a line; where a text is missing in front of it none is left, and the name behind them all is taken,
// which nobody declares.
#define BRIDGE_FUNCTION(nothing, function, ...) decltype(&function), &function
#define BRIDGE_NONE bridging::a_line_needs_NAME_then_UNIT_or_DESCRIPTION_then_FUNCTION
#define BRIDGE_OPTIONS(function, ...) , ##__VA_ARGS__

#define BRIDGE_COUNT(rows) (sizeof(rows) / sizeof *(rows))
#define BRIDGE_INDICES(n) bridging::Count<(n)>::type()

#define BRIDGE_CHANNELS(...)                                                                                          \
  namespace {                                                                                                         \
  constexpr bridging::ChannelRow bridgeChannelRows[] = {__VA_ARGS__};                                                 \
  constexpr size_t bridgeChannelCount = BRIDGE_COUNT(bridgeChannelRows);                                              \
  static_assert(bridgeChannelCount <= 128, "BRIDGE: a sketch has at most 128 channels");                              \
  static_assert(bridging::namesDiffer(bridgeChannelRows, bridgeChannelCount),                                         \
                "BRIDGE: two channels have the same name");                                                           \
  constexpr auto bridgeChannelRecords PROGMEM = bridging::packRecords(                                                \
      bridgeChannelRows, BRIDGE_INDICES(bridging::tableSize(bridgeChannelRows, bridgeChannelCount)));                 \
  constexpr auto bridgeChannelAccess PROGMEM =                                                                        \
      bridging::packAccess(bridgeChannelRows, BRIDGE_INDICES(bridgeChannelCount));                                    \
  constexpr uint8_t bridgeOutputCount = bridging::countOutputs(bridgeChannelRows, bridgeChannelCount);                \
  bridging::Output bridgeOutputs[bridgeOutputCount ? bridgeOutputCount : 1];                                          \
  }                                                                                                                   \
  static_assert(!bridging::kHasActions, "BRIDGE: BRIDGE_CHANNELS stands before BRIDGE_ACTIONS");                      \
  namespace bridging {                                                                                                \
  constexpr uint32_t kChannelsHash =                                                                                  \
      hashBytes(bridgeChannelRecords.items, sizeof bridgeChannelRecords.items, kHashOfNothing);                       \
  uint8_t channelCount() { return bridgeChannelCount; }                                                               \
  const uint8_t *channelRecords() { return bridgeChannelRecords.items; }                                              \
  const Access *channelAccess() { return bridgeChannelAccess.items; }                                                 \
  Output *outputs() { return bridgeOutputs; }                                                                         \
  uint32_t channelsHash() { return bridging::kChannelsHash; }                                                         \
  }                                                                                                                   \
  static_assert(true, "")

#define BRIDGE_ACTIONS(...)                                                                                           \
  namespace {                                                                                                         \
  constexpr bridging::ActionRow bridgeActionRows[] = {__VA_ARGS__};                                                   \
  constexpr size_t bridgeActionCount = BRIDGE_COUNT(bridgeActionRows);                                                \
  static_assert(bridgeActionCount <= 128, "BRIDGE: a sketch has at most 128 actions");                                \
  static_assert(bridging::namesDiffer(bridgeActionRows, bridgeActionCount),                                           \
                "BRIDGE: two actions have the same name");                                                            \
  static_assert(bridging::allArgumentNamesDiffer(bridgeActionRows, bridgeActionCount),                                \
                "BRIDGE: two arguments of an action have the same name");                                             \
  constexpr auto bridgeActionRecords PROGMEM = bridging::packRecords(                                                 \
      bridgeActionRows, BRIDGE_INDICES(bridging::tableSize(bridgeActionRows, bridgeActionCount)));                    \
  constexpr auto bridgeActionCalls PROGMEM =                                                                          \
      bridging::packCalls(bridgeActionRows, BRIDGE_INDICES(bridgeActionCount));                                       \
  }                                                                                                                   \
  namespace bridging {                                                                                                \
  constexpr bool kHasActions = true;                                                                                  \
  uint8_t actionCount() { return bridgeActionCount; }                                                                 \
  const uint8_t *actionRecords() { return bridgeActionRecords.items; }                                                \
  const Call *actionCalls() { return bridgeActionCalls.items; }                                                       \
  uint32_t schemaHash() {                                                                                             \
    constexpr uint32_t hash =                                                                                         \
        hashBytes(bridgeActionRecords.items, sizeof bridgeActionRecords.items, bridging::kChannelsHash);              \
    return hash;                                                                                                      \
  }                                                                                                                   \
  }                                                                                                                   \
  static_assert(true, "")

#define BRIDGE_SKETCH(sketch, version)                                                                                \
  namespace {                                                                                                         \
  constexpr bridging::Names bridgeNames[] = {{BRIDGE_BOARD, sketch, version}};                                        \
  static_assert(bridging::tableSize(bridgeNames, 1) <= 3 + 39,                                                        \
                "BRIDGE: board, sketch and version have at most 39 bytes together");                                  \
  constexpr auto bridgeBoardRecord PROGMEM =                                                                          \
      bridging::packRecords(bridgeNames, BRIDGE_INDICES(bridging::tableSize(bridgeNames, 1)));                        \
  }                                                                                                                   \
  const uint8_t *bridging::boardRecord() { return bridgeBoardRecord.items; }                                          \
  static_assert(true, "")
