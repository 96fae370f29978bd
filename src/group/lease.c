/* SPDX-License-Identifier: Apache-2.0 */
#include "group/lease.h"

sgp_status_t sgp_lease_take(const sgp_lease_t *lease, const void *by, bool *taken) {
    *taken = false;
    if (!lease->owner || lease->owner == by) return SGP_OK;
    return lease->take(lease->owner, taken);
}

void sgp_lease_give(const sgp_lease_t *lease) {
    lease->give(lease->owner);
}

void sgp_lease_serve(const sgp_lease_t *lease) {
    if (lease->owner && lease->serve) lease->serve(lease->owner);
}
