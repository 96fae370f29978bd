/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/simulated/cluster.h"

#include "base/constants.h"
#include "base/logging.h"
#include "transport/module.h"

#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#define STACK_BYTES ((size_t)64 << 10)
#define STACK_A_RANK                                                                               \
    96 /* bytes more per rank: reductions keep a few numbers of each rank on the stack */

sgp_status_t sgp_cluster_load(const sgp_simgrid_binding_t **grid) {
    static const sgp_simgrid_binding_t *loaded;
    const char *why = NULL;
    if (loaded) return *grid = loaded, SGP_OK;
    void *module = sgp_module_open("simgrid", &why);
    if (!module && why) return sgp_fail(SGP_ERR_UNSUPPORTED, "simulated: %s", why);
    if (!module)
        return sgp_fail(SGP_ERR_UNSUPPORTED,
                        "simulated: sgp was built without SimGrid: no module libsgp-simgrid.so "
                        "beside it; install SimGrid (Debian: libsimgrid-dev) and build again");
    loaded = dlsym(module, SGP_SIMGRID_BINDING_SYMBOL);
    if (loaded) return *grid = loaded, SGP_OK;
    return sgp_fail(SGP_ERR_UNSUPPORTED, "simulated: the module is of another version of sgp: %s",
                    dlerror());
}

static sgp_status_t check(const sgp_simulated_options_t *options) {
    if (options->size < 1)
        return sgp_fail(SGP_ERR_INVALID, "simulated: size is %d, must be at least 1",
                        options->size);
    if (options->chunk_bytes % 64)
        return sgp_fail(SGP_ERR_INVALID, "simulated: chunk_bytes is %zu, must be a multiple of 64",
                        options->chunk_bytes);
    if (!(options->scale >= 0 && isfinite(options->scale)))
        return sgp_fail(SGP_ERR_INVALID, "simulated: scale is %g, must be 0 or more",
                        options->scale);
    return SGP_OK;
}

static void fill_defaults(sgp_simulated_options_t *options) {
    if (!options->chunk_bytes) options->chunk_bytes = SGP_CHUNK_BYTES;
    if (options->scale == 0) options->scale = 1;
    if (options->room_chunk == 0) options->room_chunk = (double)options->chunk_bytes;
    if (!options->stack_bytes)
        options->stack_bytes = STACK_BYTES + (size_t)options->size * STACK_A_RANK;
}

static sgp_status_t start_grid(sgp_simulated_t *cluster) {
    const sgp_simulated_options_t *options = &cluster->options;
    sgp_status_t status = sgp_cluster_load(&cluster->grid);
    if (status != SGP_OK) return status;
    if (access(options->platform, R_OK) != 0)
        return sgp_fail(SGP_ERR_NOT_FOUND, "simulated: %s cannot be read", options->platform);
    cluster->grid->start(options->platform, options->threads);
    int hosts = cluster->grid->hosts();
    if (hosts >= options->size) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID, "simulated: %d nodes on a cluster of %d hosts", options->size,
                    hosts);
}

sgp_status_t sgp_cluster_create(const sgp_simulated_options_t *options, sgp_simulated_t **cluster) {
    sgp_status_t status = check(options);
    if (status != SGP_OK) return status;
    sgp_simulated_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "simulated: no memory for a cluster");
    made->options = *options;
    fill_defaults(&made->options);
    made->last_waiting = &made->waiting;
    status = start_grid(made);
    made->ranks = status == SGP_OK ? calloc((size_t)options->size, sizeof *made->ranks) : NULL;
    if (status == SGP_OK &&
        (!made->ranks || sgp_fates_create(options->size, options->size, &made->fates) != SGP_OK))
        status = sgp_fail(SGP_ERR_NO_MEMORY, "simulated: no memory for %d ranks", options->size);
    if (status != SGP_OK) return free(made->ranks), free(made), status;
    made->work = made->grid->semaphore();
    *cluster = made;
    return SGP_OK;
}

uint64_t sgp_cluster_now(const sgp_simulated_t *cluster) {
    return (uint64_t)llround(cluster->grid->now() * 1e9);
}

void sgp_cluster_destroy(sgp_simulated_t *cluster) {
    cluster->grid->destroy(cluster->work);
    sgp_fates_destroy(cluster->fates);
    free(cluster->ranks);
    free(cluster);
}
