// Errors as values: no function of this library lets an exception out.
#pragma once

#include <cassert>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace edgekit {

/// What kind of thing went wrong; the numbers are those of the C ABI and never change their meaning.
enum class Code : std::int32_t {
  ok = 0,
  invalid_argument = 1,     ///< a call is wrong: a null pointer, a size of zero, an unknown name
  bundle = 2,               ///< no bundle, or it is truncated, edited, not signed as asked, or for another runtime
  unsupported = 3,          ///< the bundle asks for something that this build has not; the message names it
  missing_requirement = 4,  ///< this machine lacks a library, device or permission
  frame = 5,                ///< a frame does not fit: encoding, size, stride, truncated data
  tensor = 6,               ///< an engine's input or output has a wrong shape, dtype, or holds NaN
  engine = 7,               ///< the runtime failed while it computed
  out_of_memory = 8,
  not_ready = 9,  ///< the call comes too early or too late: not started, already stopped
  timeout = 10,   ///< nothing came in time
};

/// The name of a code, such as "out_of_memory"; never null.
const char* name_of(Code code) noexcept;

/// A code, and one line for a person: the value, what was expected, and the way out.
struct Error {
  Code code = Code::ok;  ///< never Code::ok of an error that was returned
  std::string message;   ///< one line, UTF-8
};

/// A value or an error, as std::expected of C++23.
template <class T>
class [[nodiscard]] Expected {
 public:
  /// All is well.
  Expected(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  /// Something is wrong.
  Expected(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  /// Whether there is a value.
  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }  ///< as has_value()

  /// Asked for only where there is one.
  T& value() & { return assert(has_value()), *std::get_if<0>(&state_); }
  /// As above.
  const T& value() const& { return assert(has_value()), *std::get_if<0>(&state_); }
  /// As above, to be moved from.
  T&& value() && { return assert(has_value()), std::move(*std::get_if<0>(&state_)); }
  /// As value().
  T& operator*() & { return value(); }
  /// As value().
  const T& operator*() const& { return value(); }
  /// As value().
  T&& operator*() && { return std::move(*this).value(); }
  /// As value().
  T* operator->() { return &value(); }
  /// As value().
  const T* operator->() const { return &value(); }

  /// Asked for only where there is no value.
  const Error& error() const& { return assert(!has_value()), *std::get_if<1>(&state_); }
  /// As above, to be moved from.
  Error&& error() && { return assert(!has_value()), std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<T, Error> state_;
};

/// Nothing or an error; made without an allocation when all is well.
template <>
class [[nodiscard]] Expected<void> {
 public:
  Expected() = default;
  /// Something is wrong.
  Expected(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  /// Whether all is well.
  bool has_value() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }  ///< as has_value()
  /// Asked for only where something is wrong.
  const Error& error() const& { return assert(error_.has_value()), *error_; }
  /// As above, to be moved from.
  Error&& error() && { return assert(error_.has_value()), std::move(*error_); }

 private:
  std::optional<Error> error_;
};

using Status = Expected<void>;

}  // namespace edgekit
