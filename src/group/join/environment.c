/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/environment.h"

#include "base/constants.h"
#include "base/logging.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { MOST = SGP_MOST_PROCESSES };

const char *sgp_environment_text(const char *name) {
    const char *text = getenv(name);
    return text && *text ? text : NULL;
}

sgp_status_t sgp_environment_number(const char *name, int most, int *value) {
    const char *text = getenv(name);
    char *end;
    if (!text) return sgp_fail(SGP_ERR_INVALID, "%s is not set", name);
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno || end == text || *end || number < 0 || number > most)
        return sgp_fail(SGP_ERR_INVALID, "%s is \"%s\", must be a whole number from 0 to %d", name,
                        text, most);
    *value = (int)number;
    return SGP_OK;
}

sgp_status_t sgp_environment_check_size(int size) {
    if (size >= 1 && size <= MOST) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID, "a group of %d processes: must be 1 to %d", size, MOST);
}

sgp_status_t sgp_environment_place(const char *rank, const char *size, sgp_placement_t *placement) {
    sgp_status_t status = sgp_environment_number(size, MOST, &placement->size);
    if (status == SGP_OK) status = sgp_environment_number(rank, MOST, &placement->rank);
    if (status == SGP_OK && (placement->size < 1 || placement->rank >= placement->size))
        return sgp_fail(SGP_ERR_INVALID, "%s is %d and %s is %d: a rank is below the size", rank,
                        placement->rank, size, placement->size);
    return status;
}

uint64_t sgp_environment_fingerprint(const char *job) {
    uint64_t hash = XXH3_64bits(job, strlen(job));
    return hash ? hash : 1;
}
