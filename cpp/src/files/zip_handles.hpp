// libzip's handles, closed by themselves.
#pragma once

#include <zip.h>

#include <memory>

namespace edgekit {

struct CloseArchive {
  void operator()(zip_t* archive) const noexcept { zip_discard(archive); }
};
struct CloseMember {
  void operator()(zip_file_t* member) const noexcept { zip_fclose(member); }
};
/// An archive that is only read; what was not written is discarded.
using ArchiveHandle = std::unique_ptr<zip_t, CloseArchive>;
/// An open member of one.
using ArchiveMember = std::unique_ptr<zip_file_t, CloseMember>;

}  // namespace edgekit
