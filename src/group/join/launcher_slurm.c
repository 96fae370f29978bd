/* SPDX-License-Identifier: Apache-2.0 */
/* srun without PMIx, which states rank, size and the hosts of the step. */
#include "group/join/exchange_address.h"

#include "base/constants.h"
#include "base/logging.h"
#include "group/join/environment.h"

#include <stdio.h>
#include <string.h>

enum { PORTS_TRIED = 17, FIRST_PORT = 17000, SPAN = 14000 };

bool sgp_slurm_is_shell(void) {
    const char *tasks = sgp_environment_text("SLURM_STEP_NUM_TASKS");
    return tasks && strcmp(tasks, "1") == 0 && !sgp_environment_text("OMPI_COMM_WORLD_SIZE");
}

static bool recognise(const sgp_group_options_t *options) {
    (void)options;
    return sgp_environment_text("SLURM_PROCID") && sgp_environment_text("SLURM_STEP_NUM_TASKS") &&
           sgp_environment_text("SLURM_STEP_NODELIST") && sgp_environment_text("SLURM_STEP_ID") &&
           !sgp_slurm_is_shell();
}

bool sgp_slurm_first_host(const char *list, char *host, size_t room) {
    size_t length = 0;
    for (const char *at = list; *at && *at != ','; at++) {
        if (*at == '[') {
            const char *end = strchr(at, ']');
            if (!end) return false;
            for (at++; *at >= '0' && *at <= '9'; at++)
                if (length < room) host[length++] = *at;
            at = end;
        } else if (length < room) host[length++] = *at;
    }
    if (length == 0 || length >= room) return false;
    host[length] = '\0';
    return true;
}

/* Rank 0 runs on the first host. The port follows from the job, so that two jobs rarely try the
 * same one. */
static sgp_status_t place(const sgp_group_options_t *options, sgp_placement_t *placement) {
    (void)options;
    char host[SGP_PLACEMENT_TEXT - 8], text[SGP_PLACEMENT_TEXT];
    const char *job = sgp_environment_text("SLURM_JOB_ID");
    const char *list = sgp_environment_text("SLURM_STEP_NODELIST");
    sgp_status_t status = sgp_environment_place("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", placement);
    if (status != SGP_OK) return status;
    if (!sgp_slurm_first_host(list, host, sizeof host))
        return sgp_fail(SGP_ERR_INVALID,
                        "SLURM_STEP_NODELIST is \"%.200s\", must be a list of hosts", list);
    snprintf(text, sizeof text, "slurm %s.%s %d", job ? job : "",
             sgp_environment_text("SLURM_STEP_ID"), placement->size);
    placement->fingerprint = sgp_environment_fingerprint(text);
    placement->role = placement->rank == 0 ? SGP_JOIN_ROLE_SERVER : SGP_JOIN_ROLE_CLIENT;
    placement->ports = PORTS_TRIED;
    snprintf(placement->at, sizeof placement->at, "%s:%d", host,
             FIRST_PORT + (int)(placement->fingerprint % SPAN));
    return SGP_OK;
}

const sgp_launcher_t sgp_launcher_slurm = {
    .name = "SLURM_STEP_NUM_TASKS",
    .timeout_ms = SGP_LAUNCHER_TIMEOUT_MS,
    .recognise = recognise,
    .place = place,
    .exchange = sgp_exchange_address,
};
