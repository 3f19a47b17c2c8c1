#include "bundle/hash.hpp"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

#include "bundle/text.hpp"

namespace edgekit {
namespace {

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) {
    good_ = context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1;
  }
  void add(const void* bytes, std::size_t count) {
    good_ = good_ && EVP_DigestUpdate(context_.get(), bytes, count) == 1;
  }
  Expected<std::string> finish() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int length = 0;
    if (!good_ || EVP_DigestFinal_ex(context_.get(), digest.data(), &length) != 1) {
      return Error{Code::out_of_memory, "SHA-256 cannot be computed: no memory for OpenSSL"};
    }
    static constexpr std::string_view digits = "0123456789abcdef";
    std::string made;
    for (unsigned int at = 0; at < length; ++at) {
      made += digits[digest[at] >> 4];
      made += digits[digest[at] & 15];
    }
    return made;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, FreeContext> context_;
  bool good_ = false;
};

/// A plain file that is open for reading.
class Input {
 public:
  Input() = default;
  ~Input() {
    if (handle_ >= 0) close(handle_);
  }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  Status open(const std::filesystem::path& file, int flags) {
    file_ = &file;
    // Without O_NONBLOCK a pipe of that name would hold the reader for ever.
    handle_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
    if (handle_ < 0 && errno == ELOOP) return Error{Code::bundle, file.string() + " is a link"};
    struct stat facts{};
    if (handle_ < 0 || fstat(handle_, &facts) != 0) return failed();
    if (!S_ISREG(facts.st_mode)) return Error{Code::bundle, file.string() + " is no file"};
    size = static_cast<std::uint64_t>(facts.st_size);
    return {};
  }

  /// Bytes read; 0 at the end.
  Expected<std::size_t> read(void* into, std::size_t most) {
    for (;;) {
      const ssize_t count = ::read(handle_, into, most);
      if (count >= 0) return static_cast<std::size_t>(count);
      if (errno != EINTR) return failed();
    }
  }

  std::uint64_t size = 0;

 private:
  Error failed() const { return refused(*file_, "cannot be read", {errno, std::generic_category()}); }

  const std::filesystem::path* file_ = nullptr;
  int handle_ = -1;
};

constexpr std::size_t block_size = std::size_t{1} << 18;

}  // namespace

Expected<std::string> sha256(std::string_view bytes) {
  Sha256 total;
  total.add(bytes.data(), bytes.size());
  return total.finish();
}

Expected<std::string> sha256_file(const std::filesystem::path& file) {
  Input input;
  if (Status opened = input.open(file, O_NOFOLLOW); !opened) return opened.error();
  Sha256 total;
  const auto block = std::make_unique<char[]>(block_size);
  for (;;) {
    const Expected<std::size_t> count = input.read(block.get(), block_size);
    if (!count) return count.error();
    if (*count == 0) return total.finish();
    total.add(block.get(), *count);
  }
}

Expected<std::string> read_text(const std::filesystem::path& file, std::uint64_t most) {
  Input input;
  if (Status opened = input.open(file, 0); !opened) return opened.error();
  if (input.size > most) {
    return Error{Code::bundle, file.string() + " has " + with_commas(input.size) + " bytes, at most " +
                                   with_commas(most) + "; do not trust it"};
  }
  std::string made(input.size, '\0');
  for (std::size_t at = 0; at < made.size();) {
    const Expected<std::size_t> count = input.read(made.data() + at, made.size() - at);
    if (!count) return count.error();
    if (*count == 0) made.resize(at);  // it became shorter meanwhile
    at += *count;
  }
  return made;
}

}  // namespace edgekit
