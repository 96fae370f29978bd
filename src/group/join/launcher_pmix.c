/* SPDX-License-Identifier: Apache-2.0 */
/* mpirun of Open MPI, prterun and srun, by PMIx. The library is loaded when one of them is
 * recognised, so that nothing else depends on it; only its header is needed to build. Endpoints
 * travel as hexadecimal strings. */
#include "group/join/environment.h"
#include "group/join/launcher.h"

#include "base/constants.h"
#include "base/logging.h"

#ifdef SGP_HAS_PMIX

#include <dlfcn.h>
#include <pmix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY "libpmix.so.2"
#define KEY     "sgp.card" /* other builds of this version ask for it */

typedef struct pmix {
    void *library;
    pmix_status_t (*init)(pmix_proc_t *, pmix_info_t *, size_t);
    pmix_status_t (*finalize)(const pmix_info_t *, size_t);
    pmix_status_t (*put)(pmix_scope_t, const char *, pmix_value_t *);
    pmix_status_t (*commit)(void);
    pmix_status_t (*fence)(const pmix_proc_t *, size_t, const pmix_info_t *, size_t);
    pmix_status_t (*get)(const pmix_proc_t *, const char *, const pmix_info_t *, size_t,
                         pmix_value_t **);
    const char *(*error)(pmix_status_t);
    pmix_proc_t self;
    const sgp_deadline_t *deadline;
} pmix_t;

static bool find(pmix_t *pmix, const char *name, void *function) {
    void *found = dlsym(pmix->library, name);
    memcpy(function, &found, sizeof found);
    return found != NULL;
}

/* Never unloaded, as a thread of the library may outlive its finalize. */
static sgp_status_t load(pmix_t *pmix) {
    pmix->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!pmix->library)
        return sgp_fail(SGP_ERR_UNSUPPORTED,
                        "the launcher speaks PMIx, and its library is missing (%s): install %s, or "
                        "start the processes with --join HOST:PORT",
                        dlerror(), LIBRARY);
    if (find(pmix, "PMIx_Init", &pmix->init) && find(pmix, "PMIx_Finalize", &pmix->finalize) &&
        find(pmix, "PMIx_Put", &pmix->put) && find(pmix, "PMIx_Commit", &pmix->commit) &&
        find(pmix, "PMIx_Fence", &pmix->fence) && find(pmix, "PMIx_Get", &pmix->get) &&
        find(pmix, "PMIx_Error_string", &pmix->error))
        return SGP_OK;
    return sgp_fail(SGP_ERR_UNSUPPORTED, "%s is not a PMIx library of version 2 or later", LIBRARY);
}

static sgp_status_t convert(const pmix_t *pmix, const char *call, pmix_status_t result) {
    if (result == PMIX_SUCCESS) return SGP_OK;
    if (result == PMIX_ERR_TIMEOUT)
        return sgp_fail(SGP_ERR_TIMEOUT, "PMIx: not all processes came within %d ms",
                        pmix->deadline->timeout_ms);
    return sgp_fail(SGP_ERR_SYSTEM, "PMIx: %s: %s", call, pmix->error(result));
}

/* PMIx counts in seconds; at least one. */
static pmix_info_t time_limit(const pmix_t *pmix) {
    pmix_info_t info;
    memset(&info, 0, sizeof info);
    snprintf(info.key, sizeof info.key, "%s", PMIX_TIMEOUT);
    info.value.type = PMIX_INT;
    info.value.data.integer = sgp_deadline_left_ms(pmix->deadline) / 1000 + 1;
    return info;
}

static sgp_status_t read_size(pmix_t *pmix, int *size) {
    pmix_proc_t job = pmix->self;
    pmix_value_t *value = NULL;
    job.rank = PMIX_RANK_WILDCARD;
    sgp_status_t status =
        convert(pmix, "size of the job", pmix->get(&job, PMIX_JOB_SIZE, NULL, 0, &value));
    if (status != SGP_OK) return status;
    *size = value->type == PMIX_UINT32 ? (int)value->data.uint32 : 0;
    free(value);
    if (*size > (int)pmix->self.rank) return SGP_OK;
    return sgp_fail(SGP_ERR_SYSTEM, "PMIx: rank %u of %d processes", (unsigned)pmix->self.rank,
                    *size);
}

static sgp_status_t put_endpoint(pmix_t *pmix, const sgp_endpoint_t *mine) {
    char text[SGP_ENDPOINT_HEX];
    sgp_endpoint_to_hex(mine, text);
    pmix_value_t value;
    memset(&value, 0, sizeof value);
    value.type = PMIX_STRING;
    value.data.string = text;
    sgp_status_t status = convert(pmix, "put", pmix->put(PMIX_GLOBAL, KEY, &value));
    return status == SGP_OK ? convert(pmix, "commit", pmix->commit()) : status;
}

/* Returns when the endpoints of all processes are here. */
static sgp_status_t fence(pmix_t *pmix) {
    pmix_info_t info[2];
    info[0] = time_limit(pmix);
    memset(&info[1], 0, sizeof info[1]);
    snprintf(info[1].key, sizeof info[1].key, "%s", PMIX_COLLECT_DATA);
    info[1].value.type = PMIX_BOOL;
    info[1].value.data.flag = true;
    return convert(pmix, "fence", pmix->fence(NULL, 0, info, 2));
}

static sgp_status_t get_endpoint(pmix_t *pmix, int rank, sgp_endpoint_t *endpoint) {
    pmix_proc_t other = pmix->self;
    pmix_value_t *value = NULL;
    pmix_info_t deadline = time_limit(pmix);
    other.rank = (pmix_rank_t)rank;
    sgp_status_t status = convert(pmix, "get", pmix->get(&other, KEY, &deadline, 1, &value));
    if (status != SGP_OK) return status;
    bool is_text = value->type == PMIX_STRING;
    sgp_status_t read = sgp_endpoint_of_hex(is_text ? value->data.string : NULL, endpoint);
    if (is_text) free(value->data.string);
    free(value);
    if (read == SGP_OK) return SGP_OK;
    return sgp_fail(SGP_ERR_MISMATCH, "node %d gave no endpoint of this version of sgp", rank);
}

static sgp_status_t put_and_get(pmix_t *pmix, sgp_endpoint_t *mine, sgp_endpoint_t **all) {
    sgp_status_t status = read_size(pmix, &mine->size);
    mine->rank = (int)pmix->self.rank;
    if (status == SGP_OK) status = put_endpoint(pmix, mine);
    if (status == SGP_OK) status = fence(pmix);
    sgp_endpoint_t *endpoints =
        status == SGP_OK ? calloc((size_t)mine->size, sizeof *endpoints) : NULL;
    if (status == SGP_OK && !endpoints)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d endpoints", mine->size);
    for (int r = 0; r < mine->size && status == SGP_OK; r++)
        status = get_endpoint(pmix, r, &endpoints[r]);
    if (status == SGP_OK) *all = endpoints;
    else free(endpoints);
    return status;
}

static sgp_status_t exchange(const sgp_exchange_t *with, sgp_endpoint_t *mine, int *listener,
                             sgp_endpoint_t **all) {
    (void)listener;
    pmix_t pmix = {.deadline = with->deadline};
    sgp_status_t status = load(&pmix);
    if (status == SGP_OK) status = convert(&pmix, "init", pmix.init(&pmix.self, NULL, 0));
    if (status != SGP_OK) return status;
    status = put_and_get(&pmix, mine, all);
    pmix.finalize(NULL, 0);
    return status;
}

#else

static sgp_status_t exchange(const sgp_exchange_t *with, sgp_endpoint_t *mine, int *listener,
                             sgp_endpoint_t **all) {
    (void)with, (void)mine, (void)listener, (void)all;
    return sgp_fail(SGP_ERR_UNSUPPORTED,
                    "the launcher speaks PMIx, and this sgp is built without it: build it where "
                    "libpmix-dev is, or start the processes with --join HOST:PORT");
}

#endif

static bool recognise(const sgp_group_options_t *options) {
    (void)options;
    bool found = (sgp_environment_text("PMIX_NAMESPACE") && sgp_environment_text("PMIX_RANK")) ||
                 sgp_environment_text("OMPI_COMM_WORLD_SIZE");
    return found && !sgp_slurm_is_shell();
}

/* As far as it is known before PMIx is initialised. */
static sgp_status_t place(const sgp_group_options_t *options, sgp_placement_t *placement) {
    (void)options;
    if (sgp_environment_text("OMPI_COMM_WORLD_SIZE") &&
        sgp_environment_text("OMPI_COMM_WORLD_RANK"))
        return sgp_environment_place("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", placement);
    if (sgp_environment_text("SLURM_PROCID") && sgp_environment_text("SLURM_STEP_NUM_TASKS"))
        return sgp_environment_place("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", placement);
    if (!sgp_environment_text("PMIX_RANK")) return SGP_OK;
    return sgp_environment_number("PMIX_RANK", SGP_MOST_PROCESSES, &placement->rank);
}

const sgp_launcher_t sgp_launcher_pmix = {
    .name = "PMIx",
    .timeout_ms = SGP_LAUNCHER_TIMEOUT_MS,
    .private_channel = true,
    .recognise = recognise,
    .place = place,
    .exchange = exchange,
};
