#include "bundle/archive.hpp"

#include <unistd.h>
#include <zip.h>

#include <array>
#include <set>
#include <utility>

#include "bundle/text.hpp"
#include "core/memory.hpp"
#include "files/zip_handles.hpp"

namespace edgekit {
namespace {

struct Member {
  std::string name;
  std::uint64_t index = 0;
  std::uint64_t size = 0;
  std::uint64_t packed = 0;
  bool stored = false;

  bool is_folder() const { return name.ends_with('/'); }
};

Error distrusted(const std::string& place, const std::string& what) {
  return {Code::bundle, place + ": " + what + "; do not trust this file"};
}

}  // namespace

struct Archive::Reader {
  std::string place;
  ArchiveHandle archive;
  std::vector<Member> members;
  bool doubled = false;

  Error damaged(int code) const {
    if (code == ZIP_ER_MEMORY || memory_is_short()) return {Code::out_of_memory, place + ": no memory to read it"};
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    const std::string why = zip_error_strerror(&error);
    zip_error_fini(&error);
    return damaged(why);
  }
  Error damaged(const std::string& why) const {
    return {Code::bundle, place + ": not a bundle, or truncated (" + why + "); copy it again"};
  }

  Status open(const std::filesystem::path& file);
  Status check_places() const;
  Status check_members(const Manifest& manifest) const;
  const Member* find(std::string_view name) const;

  /// Gives a member's bytes to `take` in blocks; all of them, and no more than it says.
  template <class Take>
  Status read(const Member& member, Take&& take) const;
  Expected<std::string> text(const Member& member) const;
  Status extract(const Member& member, Unpacked& into) const;
};

Status Archive::Reader::open(const std::filesystem::path& file) {
  int problem = 0;
  // The stricter checks compare both headers of each member, as Python does.
  archive.reset(zip_open(file.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &problem));
  if (!archive && problem == ZIP_ER_EXISTS) {  // a name is there twice: open it all the same, to say which
    doubled = true;
    archive.reset(zip_open(file.c_str(), ZIP_RDONLY, &problem));
  }
  if (!archive) return damaged(problem);
  const zip_int64_t count = zip_get_num_entries(archive.get(), 0);
  for (zip_int64_t index = 0; index < count; ++index) {
    zip_stat_t entry;
    zip_stat_init(&entry);
    constexpr zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
    if (zip_stat_index(archive.get(), static_cast<zip_uint64_t>(index), ZIP_FL_ENC_STRICT, &entry) != 0) {
      return damaged(zip_error_code_zip(zip_get_error(archive.get())));
    }
    if ((entry.valid & needed) != needed) return damaged("a member without a name or a size");
    members.push_back({entry.name, static_cast<std::uint64_t>(index), entry.size, entry.comp_size,
                       entry.comp_method == ZIP_CM_STORE});
  }
  return {};
}

Status Archive::Reader::check_places() const {
  std::set<std::string_view> seen;
  for (const Member& member : members) {
    if (!stays_inside(member.name)) return distrusted(place, quoted_name(member.name) + " points outside the bundle");
    if (!seen.insert(member.name).second) return distrusted(place, quoted_name(member.name) + " is there twice");
  }
  if (doubled) return distrusted(place, "a member is there twice");
  return {};
}

Status Archive::Reader::check_members(const Manifest& manifest) const {
  const nlohmann::json* sizes = manifest.sizes();
  for (const Member& member : members) {
    if (member.is_folder()) continue;
    const bool unlisted = member.name == manifest_file || member.name == signature_file;
    if (!unlisted && !manifest.files().contains(member.name)) {
      return distrusted(place, quoted_name(member.name) + " is not in the manifest");
    }
    if (sizes == nullptr && !member.stored) {  // a stored one is no larger than the archive
      return Error{Code::bundle, place + ": " + quoted_name(member.name) +
                                     " is compressed, and a manifest of version 1 does not say how large it becomes; "
                                     "unpack it yourself, if you trust it, and name the folder"};
    }
    std::uint64_t largest = member.packed;
    if (member.name == manifest_file) largest = largest_manifest;
    if (member.name == signature_file) largest = largest_signature;
    if (!unlisted && sizes != nullptr) {
      const nlohmann::json& said = (*sizes)[member.name];
      largest = said.is_boolean() ? said.get<bool>() : said.get<std::uint64_t>();
    }
    if (member.size > largest) {
      return distrusted(
          place, quoted_name(member.name) + " has " + with_commas(member.size) + " bytes, not " + with_commas(largest));
    }
  }
  return {};
}

const Member* Archive::Reader::find(std::string_view name) const {
  for (const Member& member : members) {
    if (member.name == name) return &member;
  }
  return nullptr;
}

template <class Take>
Status Archive::Reader::read(const Member& member, Take&& take) const {
  const ArchiveMember stream(zip_fopen_index(archive.get(), member.index, 0));
  if (!stream) return damaged(zip_error_code_zip(zip_get_error(archive.get())));
  std::array<char, 65536> block;
  for (std::uint64_t total = 0;;) {
    const zip_int64_t count = zip_fread(stream.get(), block.data(), block.size());
    if (count < 0) return damaged(zip_error_code_zip(zip_file_get_error(stream.get())));
    total += static_cast<std::uint64_t>(count);
    if (total > member.size || (count == 0 && total < member.size)) {
      return damaged(quoted_name(member.name) + " is not as long as it says");
    }
    if (count == 0) return {};
    if (Status taken = take(block.data(), static_cast<std::size_t>(count)); !taken) return taken;
  }
}

Expected<std::string> Archive::Reader::text(const Member& member) const {
  std::string made;
  const Status done = read(member, [&](const char* bytes, std::size_t count) -> Status {
    made.append(bytes, count);
    return {};
  });
  if (!done) return done.error();
  return made;
}

Status Archive::Reader::extract(const Member& member, Unpacked& into) const {
  struct Handle {
    int number;
    ~Handle() {
      if (number >= 0) close(number);
    }
  };
  const Expected<int> created = into.create(member.name);
  if (!created) return created.error();
  Handle handle{*created};
  Status done =
      read(member, [&](const char* bytes, std::size_t count) { return into.write(handle.number, bytes, count); });
  if (!done) return done;
  return into.finish(std::exchange(handle.number, -1));
}

Archive::Archive(std::unique_ptr<Reader> reader, Manifest manifest) noexcept
    : reader_(std::move(reader)), manifest_(std::move(manifest)) {}
Archive::Archive(Archive&&) noexcept = default;
Archive::~Archive() = default;

Expected<Archive> Archive::open(const std::filesystem::path& file) {
  auto reader = std::make_unique<Reader>();
  reader->place = file.string();
  const std::string& place = reader->place;
  if (Status opened = reader->open(file); !opened) return opened.error();
  if (Status fine = reader->check_places(); !fine) return fine.error();
  const Member* listed = reader->find(manifest_file);
  // A truncated file may show the archive inside golden.npz.
  if (listed == nullptr) return reader->damaged("no manifest.json inside");
  if (listed->size > largest_manifest) {
    return Error{Code::bundle, place + ": its manifest.json has " + with_commas(listed->size) + " bytes, at most " +
                                   with_commas(largest_manifest) + "; do not trust it"};
  }
  Expected<std::string> content = reader->text(*listed);
  if (!content) return content.error();
  Expected<Manifest> manifest = Manifest::parse(std::move(*content), place + "/manifest.json");
  if (!manifest) return manifest.error();
  if (Status fine = reader->check_members(*manifest); !fine) return fine.error();
  return Archive(std::move(reader), std::move(*manifest));
}

Expected<std::optional<std::string>> Archive::signature() const {
  const Member* found = reader_->find(signature_file);
  if (found == nullptr) return std::optional<std::string>();
  Expected<std::string> content = reader_->text(*found);
  if (!content) return content.error();
  return std::optional<std::string>(std::move(*content));
}

Expected<std::unique_ptr<Unpacked>> Archive::unpack() const {
  Expected<std::unique_ptr<Unpacked>> made = Unpacked::make();
  if (!made) return made;
  for (const Member& member : reader_->members) {
    if (member.is_folder()) continue;
    if (Status done = reader_->extract(member, **made); !done) return done.error();
  }
  return made;
}

}  // namespace edgekit
