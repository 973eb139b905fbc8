#include "filter_contestant.hpp"

namespace spillway::bench {

FilterContestants<float> volk_filters(const FilterWork<float>&) { return {}; }

}  // namespace spillway::bench
