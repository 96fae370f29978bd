/* SPDX-License-Identifier: Apache-2.0 */
/* No launcher: processes that people start, each with the same HOST:PORT and size. */
#include "group/join/exchange_address.h"

#include "base/constants.h"
#include "base/logging.h"
#include "group/join/environment.h"

#include <stdio.h>

/* HOST:PORT, or NULL. SGP_JOIN yields to a rendezvous directory, which says more. */
static const char *address(const sgp_group_options_t *options) {
    bool directory = options->rendezvous || sgp_environment_text("SGP_RENDEZVOUS");
    return options->join || directory ? options->join : sgp_environment_text("SGP_JOIN");
}

static bool recognise(const sgp_group_options_t *options) {
    return address(options) != NULL;
}

static sgp_status_t find_size(const sgp_group_options_t *options, const char *at, int *size) {
    sgp_status_t status = SGP_OK;
    if (options->size == 0 && !sgp_environment_text("SGP_SIZE"))
        return sgp_fail(SGP_ERR_INVALID,
                        "join %s: the number of processes is missing (size, or SGP_SIZE)", at);
    if (options->size == 0) status = sgp_environment_number("SGP_SIZE", SGP_MOST_PROCESSES, size);
    else *size = options->size;
    return status == SGP_OK ? sgp_environment_check_size(*size) : status;
}

static sgp_status_t place(const sgp_group_options_t *options, sgp_placement_t *placement) {
    const char *at = address(options);
    sgp_status_t status = SGP_OK;
    placement->role = SGP_JOIN_ROLE_ANY;
    if ((size_t)snprintf(placement->at, sizeof placement->at, "%s", at) >= sizeof placement->at)
        return sgp_fail(SGP_ERR_INVALID, "join: an address of more than %zu characters",
                        sizeof placement->at);
    if (options->claim_rank || (options->size > 0 && !options->join))
        placement->rank = options->rank;
    else if (sgp_environment_text("SGP_RANK"))
        status = sgp_environment_number("SGP_RANK", SGP_MOST_PROCESSES, &placement->rank);
    if (status == SGP_OK) status = find_size(options, at, &placement->size);
    if (status == SGP_OK && (placement->rank >= placement->size || placement->rank < -1))
        return sgp_fail(SGP_ERR_INVALID, "rank %d of %d nodes: must be 0 to %d", placement->rank,
                        placement->size, placement->size - 1);
    return status;
}

const sgp_launcher_t sgp_launcher_address = {
    .name = "--join",
    .timeout_ms = SGP_BY_HAND_TIMEOUT_MS,
    .recognise = recognise,
    .place = place,
    .exchange = sgp_exchange_address,
};
