// The files of view_page/, which make the page of `spillway view --html`.
#pragma once

#include <string_view>

namespace spillway::apps {

// With {{title}}, {{style}}, {{data}}, {{recording}} and {{script}} where these belong.
extern const std::string_view page_html;
extern const std::string_view page_css;
extern const std::string_view page_js;

}  // namespace spillway::apps
