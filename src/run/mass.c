/* SPDX-License-Identifier: Apache-2.0 */
#include "run/mass.h"

#include "base/logging.h"
#include "mixing/mixer_internal.h"

#include <inttypes.h>
#include <stdio.h>

void mass_warn(const run_t *run, const sgp_mixer_consensus_t *found, const char *when) {
    if (!run_leads(run) || !(found->drift > MASS_DRIFT)) return;
    sgp_log(SGP_LOG_WARNING, "the mass has drifted by %.2g %s: rounding makes less than %g",
            found->drift, when, MASS_DRIFT);
}

sgp_status_t mass_check(run_t *run) {
    char when[64];
    sgp_mixer_consensus_t found;
    sgp_status_t status = sgp_mixer_balance(run->replica.mixer, &found);
    snprintf(when, sizeof when, "in the checkpoint of step %" PRIu64, run->step);
    if (!status) mass_warn(run, &found, when);
    return status;
}
