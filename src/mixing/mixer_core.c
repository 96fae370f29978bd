/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/mixer_core.h"

#include "base/logging.h"

#include <inttypes.h>

sgp_status_t sgp_mixer_refuse(const sgp_mixer_t *mixer, const char *what, size_t offset,
                              size_t count) {
    return sgp_fail_at(SGP_LOG_INFO, SGP_ERR_NOT_FINITE,
                       "step %" PRIu64 ": elements %zu to %zu of the %s are not all finite",
                       mixer->step, mixer->first + offset, mixer->first + offset + count - 1, what);
}
