#include "h5.hpp"

#include <fmt/format.h>

#include <array>

#include "spillway/channels/error.hpp"
#include "spillway/channels/sample_type.hpp"

namespace spillway::h5 {

namespace {
std::recursive_mutex& library_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}
}  // namespace

Library::Library() : lock_(library_mutex()) {
  // HDF5 1.10 crashes at exit over a file whose last write failed; we close all we open,
  // so its own tidying up is not needed. No effect if the program used HDF5 before us.
  static const herr_t no_tidying = H5dont_atexit();
  (void)no_tidying;
  H5Eget_auto2(H5E_DEFAULT, &print_, &print_data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}
Library::~Library() { H5Eset_auto2(H5E_DEFAULT, print_, print_data_); }

void fail(const std::string& where, const std::string& what) {
  std::string words;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned, const H5E_error2_t* error, void* data) -> herr_t {
        auto& text = *static_cast<std::string*>(data);
        if (text.empty() && error->desc) text = error->desc;
        return 0;
      },
      &words);
  for (char& c : words)
    if (c == '\n') c = ' ';
  throw Error(fmt::format("{}: {}{}{}", where, what, words.empty() ? "" : ": ", words));
}

herr_t Id::close() noexcept {
  const hid_t id = std::exchange(id_, -1);
  if (id < 0) return 0;
  switch (H5Iget_type(id)) {
    case H5I_FILE: return H5Fclose(id);
    case H5I_GROUP: return H5Gclose(id);
    case H5I_DATASET: return H5Dclose(id);
    case H5I_DATASPACE: return H5Sclose(id);
    case H5I_DATATYPE: return H5Tclose(id);
    case H5I_ATTR: return H5Aclose(id);
    case H5I_GENPROP_LST: return H5Pclose(id);
    default: return H5Idec_ref(id);
  }
}

namespace {

// Attributes end with a zero, as netCDF expects of a dimension scale's.
Id attribute_text_type(std::size_t length) {
  Id type(H5Tcopy(H5T_C_S1), "HDF5", "text type");
  H5Tset_size(type, length + 1);
  H5Tset_strpad(type, H5T_STR_NULLTERM);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

Id text_type(std::size_t length) {
  Id type(H5Tcopy(H5T_C_S1), "HDF5", "text type");
  H5Tset_size(type, length > 0 ? length : 1);
  H5Tset_strpad(type, H5T_STR_NULLPAD);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

void put(hid_t object, const std::string& name, hid_t type, hid_t space, const void* data) {
  const Id attribute(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT),
                     "attribute " + name, "can't be made");
  if (H5Awrite(attribute, type, data) < 0) fail("attribute " + name, "can't be written");
}

}  // namespace

hid_t link_properties() {
  // Of the library's life: H5close takes it along.
  static hid_t properties = -1;
  if (H5Iget_type(properties) != H5I_GENPROP_LST) {
    properties = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_char_encoding(properties, H5T_CSET_UTF8);
  }
  return properties;
}

void put_attribute(hid_t object, const std::string& name, const std::string& text) {
  const Id type = attribute_text_type(text.size());
  const Id space(H5Screate(H5S_SCALAR), name, "space");
  put(object, name, type, space, text.c_str());
}

void put_attribute(hid_t object, const std::string& name, const std::vector<std::string>& texts) {
  std::size_t longest = 0;
  for (const std::string& t : texts) longest = std::max(longest, t.size());
  const std::size_t step = longest + 1;
  std::string packed(step * texts.size(), '\0');
  for (std::size_t i = 0; i < texts.size(); ++i) texts[i].copy(&packed[i * step], longest);
  const Id type = attribute_text_type(longest);
  const hsize_t count = texts.size();
  const Id space(H5Screate_simple(1, &count, nullptr), name, "space");
  put(object, name, type, space, packed.data());
}

void put_attribute(hid_t object, const std::string& name, double value) {
  const Id space(H5Screate(H5S_SCALAR), name, "space");
  put(object, name, H5T_NATIVE_DOUBLE, space, &value);
}

void put_attribute(hid_t object, const std::string& name, const std::vector<std::uint8_t>& values) {
  const hsize_t count = values.size();
  const Id space(H5Screate_simple(1, &count, nullptr), name, "space");
  put(object, name, H5T_NATIVE_UINT8, space, values.data());
}

Id put_text(hid_t group, const std::string& name, const std::string& text, std::size_t room) {
  const Id type = text_type(std::max(room, text.size()));
  const Id space(H5Screate(H5S_SCALAR), name, "space");
  Id dataset(
      H5Dcreate2(group, name.c_str(), type, space, link_properties(), H5P_DEFAULT, H5P_DEFAULT),
      "dataset " + name, "can't be made");
  change_text(dataset, text);
  return dataset;
}

void change_text(hid_t dataset, const std::string& text) {
  const Id type(H5Dget_type(dataset), "text", "type");
  std::string padded = text;
  padded.resize(H5Tget_size(type), '\0');
  if (H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, padded.data()) < 0)
    fail("text", "can't be written");
}

void put_bytes(hid_t group, const std::string& name, const std::string& bytes) {
  const hsize_t count = bytes.size();
  const Id space(H5Screate_simple(1, &count, nullptr), name, "space");
  const Id dataset(H5Dcreate2(group, name.c_str(), H5T_NATIVE_UINT8, space, link_properties(),
                              H5P_DEFAULT, H5P_DEFAULT),
                   "dataset " + name, "can't be made");
  if (count > 0 &&
      H5Dwrite(dataset, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()) < 0)
    fail("dataset " + name, "can't be written");
}

std::string get_text(hid_t group, const std::string& name, const std::string& where) {
  const Id dataset(H5Dopen2(group, name.c_str(), H5P_DEFAULT), where, "no dataset " + name);
  const Id type(H5Dget_type(dataset), where, name);
  if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) > 0)
    throw Error(fmt::format("{}: {} is not a text of fixed length", where, name));
  std::string text(H5Tget_size(type), '\0');
  if (H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text.data()) < 0)
    fail(where, name + " can't be read");
  text.resize(text.find_last_not_of('\0') + 1);
  return text;
}

hid_t native_type(int sample_type) noexcept {
  const std::array<hid_t, 10> types{
      H5T_NATIVE_INT8,   H5T_NATIVE_INT16,  H5T_NATIVE_INT32,  H5T_NATIVE_INT64, H5T_NATIVE_UINT8,
      H5T_NATIVE_UINT16, H5T_NATIVE_UINT32, H5T_NATIVE_UINT64, H5T_NATIVE_FLOAT, H5T_NATIVE_DOUBLE};
  return types[static_cast<std::size_t>(sample_type)];
}

}  // namespace spillway::h5
