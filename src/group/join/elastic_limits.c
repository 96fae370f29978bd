/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/elastic_limits.h"

#include "base/constants.h"
#include "group/membership.h"

void sgp_elastic_limits_set(const sgp_origin_t *origin, sgp_group_t *group) {
    sgp_membership_t *membership = sgp_group_membership(group);
    sgp_limits_t limits = sgp_limits_of(&origin->patience, origin->peer_timeout_ms);
    sgp_membership_options_t options = {.quorum = origin->quorum,
                                        .pause_ns = origin->pause_ms * SGP_MILLISECOND,
                                        .dead_ns = limits.dead};
    if (membership) sgp_membership_configure(membership, &options);
}
