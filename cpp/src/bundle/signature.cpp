#include "bundle/signature.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <memory>
#include <vector>

#include "bundle/hash.hpp"
#include "bundle/json.hpp"
#include "core/memory.hpp"

namespace edgekit {
namespace {

constexpr std::uint64_t largest_key = 64 << 10;
constexpr std::string_view how_to_make = "openssl genpkey -algorithm ed25519";

struct Free {
  void operator()(BIO* bio) const noexcept { BIO_free(bio); }
  void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Bytes = std::vector<unsigned char>;

Error no_memory() { return {Code::out_of_memory, "the signature cannot be checked: no memory for OpenSSL"}; }

/// Whether OpenSSL failed for want of memory; empties its queue of errors.
bool ran_out() {
  bool found = memory_is_short();
  while (const unsigned long error = ERR_get_error()) found = found || ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE;
  return found;
}

/// Without a terminal that would be asked for a password.
int no_password(char*, int, int, void*) { return -1; }

Expected<Key> public_key(const std::filesystem::path& file) {
  const Expected<std::string> content = read_text(file, largest_key);
  if (!content) {
    const Error& error = content.error();
    if (error.code == Code::out_of_memory) return error;
    return Error{Code::invalid_argument, error.message + "; make a key with: " + std::string(how_to_make)};
  }
  const std::unique_ptr<BIO, Free> bio(BIO_new_mem_buf(content->data(), static_cast<int>(content->size())));
  if (!bio) return no_memory();
  Key key(PEM_read_bio_PUBKEY(bio.get(), nullptr, no_password, nullptr));
  const bool short_of_memory = ran_out();
  if (!key && short_of_memory) return no_memory();
  if (!key) {
    return Error{Code::invalid_argument, file.string() + ": not a readable PEM key (of a public key); make one with: " +
                                             std::string(how_to_make)};
  }
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519) {
    const char* kind = EVP_PKEY_get0_type_name(key.get());
    return Error{Code::invalid_argument, file.string() + ": a " + (kind == nullptr ? "strange" : kind) +
                                             " public key; expected Ed25519PublicKey"};
  }
  return key;
}

/// Base64 without line breaks; none: it is not that.
std::optional<Bytes> decoded(const std::string& text) {
  static constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::size_t end = std::min(text.find_first_not_of(alphabet), text.size());
  const std::size_t padding = text.size() - end;
  if (text.size() % 4 != 0 || padding > 2 || text.find_first_not_of('=', end) != text.npos) return std::nullopt;
  Bytes made(text.size() / 4 * 3 + 1);  // the decoder writes whole groups
  const int count =
      EVP_DecodeBlock(made.data(), reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (count < static_cast<int>(padding)) return std::nullopt;
  made.resize(static_cast<std::size_t>(count) - padding);
  return made;
}

/// The bytes in signature.json; none: it is damaged.
std::optional<Bytes> bytes_of(const std::string& document) {
  const Expected<JsonDocument> parsed = parse_json(document);
  if (!parsed || !parsed->root.is_object()) return std::nullopt;
  const auto found = parsed->root.find("signature");
  if (found == parsed->root.end() || !found->is_string()) return std::nullopt;
  return decoded(found->get_ref<const std::string&>());
}

}  // namespace

Status check_signature(std::string_view content, const std::optional<std::string>& signature,
                       const std::filesystem::path& trusted, const std::string& place) {
  const Expected<Key> key = public_key(trusted);
  if (!key) return key.error();
  if (!signature) {
    return Error{Code::bundle, place + ": not signed; sign it with: edgekit bundle sign BUNDLE --key KEY.pem"};
  }
  const std::optional<Bytes> bytes = bytes_of(*signature);
  if (!bytes) return Error{Code::bundle, place + "/signature.json: damaged; sign the bundle again"};
  const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
  if (!context || EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key->get()) != 1) return no_memory();
  const int verdict = EVP_DigestVerify(context.get(), bytes->data(), bytes->size(),
                                       reinterpret_cast<const unsigned char*>(content.data()), content.size());
  const bool short_of_memory = ran_out();
  if (verdict == 1) return {};
  if (short_of_memory) return no_memory();
  return Error{Code::bundle,
               place + ": the signature is not from the holder of " + trusted.string() + "; do not run it"};
}

}  // namespace edgekit
