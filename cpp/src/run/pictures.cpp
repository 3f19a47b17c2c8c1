#include <algorithm>
#include <cctype>
#include <map>
#include <system_error>

#include "files/picture.hpp"
#include "run/inputs.hpp"

namespace edgekit::run {
namespace {

namespace fs = std::filesystem;

Error wrong(std::string message) { return {Code::invalid_argument, std::move(message)}; }

bool is_picture(const fs::path& file) {
  std::string suffix = file.extension().string();
  std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return suffix == ".png" || suffix == ".jpg" || suffix == ".jpeg" || suffix == ".jfif";
}

Status add_folder(const fs::path& folder, std::vector<fs::path>& found) {
  std::error_code problem;
  const std::size_t before = found.size();
  for (fs::directory_iterator at(folder, problem), end; !problem && at != end; at.increment(problem)) {
    const fs::path& file = at->path();
    if (is_picture(file) && file.filename().string().front() != '.') found.push_back(file);
  }
  if (problem) return wrong(folder.string() + ": cannot be listed: " + problem.message());
  if (found.size() == before) {
    return wrong(folder.string() + ": holds no image; expected files that end in .png, .jpg, .jpeg, .jfif");
  }
  std::sort(found.begin() + static_cast<std::ptrdiff_t>(before), found.end());
  return {};
}

class Pictures final : public Input {
 public:
  explicit Pictures(std::vector<fs::path> files) : files_(std::move(files)) {}

  Expected<bool> next(Taken& into) override {
    if (place_ == files_.size() || interrupted) return false;
    const fs::path& file = files_[place_++];
    Expected<Picture> picture = read_picture(file);
    if (!picture) return picture.error();
    picture_ = std::move(*picture);
    into = {picture_.frame(), file.stem().string(), 0};
    return true;
  }

 private:
  std::vector<fs::path> files_;
  std::size_t place_ = 0;
  Picture picture_;
};

}  // namespace

Expected<std::unique_ptr<Input>> pictures(const std::vector<fs::path>& files) {
  std::vector<fs::path> found;
  for (const fs::path& file : files) {
    std::error_code problem;
    const fs::file_status status = fs::status(file, problem);
    if (fs::is_directory(status)) {
      if (Status added = add_folder(file, found); !added) return added.error();
    } else if (fs::exists(status)) {
      found.push_back(file);
    } else {
      return wrong(file.string() + ": no such file; name pictures, a folder of them, - or shm:/NAME");
    }
  }
  std::map<std::string, fs::path> stems;
  for (const fs::path& file : found) {
    const auto [other, is_new] = stems.emplace(file.stem().string(), file);
    if (!is_new) {
      return wrong(file.string() + ": has the same stem as " + other->second.string() +
                   ", but the stem is the frame's id; rename one");
    }
  }
  return std::unique_ptr<Input>(std::make_unique<Pictures>(std::move(found)));
}

}  // namespace edgekit::run
