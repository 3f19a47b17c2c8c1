#include "bundle/unpacked.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "bundle/text.hpp"

namespace edgekit {
namespace {

/// Of a folder or file that cannot be made: the archive's fault, or the machine's.
Error not_made(const std::string& path, int reason) {
  const bool name = reason == EEXIST || reason == ENOTDIR || reason == ENAMETOOLONG || reason == EISDIR ||
                    reason == EINVAL || reason == ELOOP || reason == ENOENT;
  Error made = refused(path, "cannot be written", {reason, std::generic_category()});
  if (name) made.code = Code::bundle;
  if (reason == ENOSPC || reason == EDQUOT) made.message += "; free space there, or set TMPDIR to another place";
  return made;
}

}  // namespace

Expected<std::unique_ptr<Unpacked>> Unpacked::make() {
  std::error_code unknown;
  std::filesystem::path parent = std::filesystem::temp_directory_path(unknown);
  if (unknown) parent = "/tmp";
  std::unique_ptr<Unpacked> made(new Unpacked);
  std::string name = (parent / "edgekit-bundle-XXXXXX").string();
  made->path_ = name;  // room for the final name, which is as long
  made->made_.reserve(64);
  std::string kept = name;
  if (mkdtemp(kept.data()) == nullptr) return not_made(name, errno);
  made->made_.push_back(std::move(kept));  // from here on it is removed
  made->path_ = made->made_.front();
  return made;
}

Unpacked::~Unpacked() {
  for (auto at = made_.rbegin(); at != made_.rend(); ++at) {
    if (unlink(at->c_str()) != 0) rmdir(at->c_str());
  }
}

Status Unpacked::make_folder(const std::string& path) {
  made_.push_back(path);  // before it is there: what cannot be noted is not made
  if (mkdir(path.c_str(), 0700) == 0) return {};
  const int reason = errno;
  made_.pop_back();
  struct stat facts{};
  if (reason == EEXIST && lstat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode)) return {};
  return not_made(path, reason);
}

Expected<int> Unpacked::create(std::string_view inside) {
  std::string place = made_.front();
  for (std::size_t start = 0; start <= inside.size();) {
    const std::size_t end = std::min(inside.find('/', start), inside.size());
    const std::string_view part = inside.substr(start, end - start);
    start = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == ".." || part.find('\0') != part.npos) return not_made(std::string(inside), EINVAL);
    if (place.size() > made_.front().size()) {
      if (Status made = make_folder(place); !made) return made.error();
    }
    place.append("/").append(part);
  }
  if (place.size() == made_.front().size()) return not_made(std::string(inside), EINVAL);
  made_.push_back(place);
  const int handle = open(place.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (handle >= 0) return handle;
  const int reason = errno;
  made_.pop_back();
  return not_made(place, reason);
}

Status Unpacked::write(int handle, const void* bytes, std::size_t count) {
  const auto* at = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t written = ::write(handle, at, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return not_made(made_.back(), errno);
    at += written;
    count -= static_cast<std::size_t>(written);
  }
  return {};
}

Status Unpacked::finish(int handle) {
  if (close(handle) == 0 || errno == EINTR) return {};
  return not_made(made_.back(), errno);
}

}  // namespace edgekit
