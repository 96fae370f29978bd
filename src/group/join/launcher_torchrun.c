/* SPDX-License-Identifier: Apache-2.0 */
/* torchrun, which states rank, size and the address of rank 0. */
#include "group/join/exchange_address.h"

#include "base/constants.h"
#include "base/logging.h"
#include "group/join/environment.h"

#include <stdio.h>
#include <string.h>

enum { PORTS_TRIED = 17 };

static bool recognise(const sgp_group_options_t *options) {
    (void)options;
    return sgp_environment_text("RANK") && sgp_environment_text("WORLD_SIZE") &&
           sgp_environment_text("MASTER_ADDR") && sgp_environment_text("MASTER_PORT");
}

static uint64_t fingerprint(int port, int size) {
    const char *run = sgp_environment_text("TORCHELASTIC_RUN_ID");
    const char *restart = sgp_environment_text("TORCHELASTIC_RESTART_COUNT");
    char job[SGP_PLACEMENT_TEXT];
    snprintf(job, sizeof job, "torchrun %s %s %d %d", run ? run : "", restart ? restart : "", port,
             size);
    return sgp_environment_fingerprint(job);
}

/* torchrun's own store may listen on MASTER_PORT, and so may the program's. */
static sgp_status_t place(const sgp_group_options_t *options, sgp_placement_t *placement) {
    (void)options;
    const char *host = sgp_environment_text("MASTER_ADDR");
    const char *store = sgp_environment_text("TORCHELASTIC_USE_AGENT_STORE");
    int port = 0;
    sgp_status_t status = sgp_environment_place("RANK", "WORLD_SIZE", placement);
    if (status == SGP_OK)
        status = sgp_environment_number("MASTER_PORT", 65535 - PORTS_TRIED, &port);
    if (status != SGP_OK) return status;
    placement->fingerprint = fingerprint(port, placement->size);
    placement->role = placement->rank == 0 ? SGP_JOIN_ROLE_SERVER : SGP_JOIN_ROLE_CLIENT;
    bool taken = store && strcmp(store, "True") == 0;
    placement->ports = taken ? PORTS_TRIED - 1 : PORTS_TRIED;
    const char *format = strchr(host, ':') && *host != '[' ? "[%s]:%d" : "%s:%d";
    if ((size_t)snprintf(placement->at, sizeof placement->at, format, host, port + taken) >=
        sizeof placement->at)
        return sgp_fail(SGP_ERR_INVALID, "MASTER_ADDR has more than %zu characters",
                        sizeof placement->at);
    return SGP_OK;
}

const sgp_launcher_t sgp_launcher_torchrun = {
    .name = "WORLD_SIZE",
    .timeout_ms = SGP_LAUNCHER_TIMEOUT_MS,
    .recognise = recognise,
    .place = place,
    .exchange = sgp_exchange_address,
};
