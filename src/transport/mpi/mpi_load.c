/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/mpi/mpi_load.h"

#include "base/logging.h"
#include "transport/module.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN "other" /* an MPI library that is neither of the two */

static pthread_mutex_t calls = PTHREAD_MUTEX_INITIALIZER;   /* of MPI */
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER; /* of the variables below */
static sgp_mpi_t loaded;
static int made, left;

void sgp_mpi_lock(void) {
    pthread_mutex_lock(&calls);
}
void sgp_mpi_unlock(void) {
    pthread_mutex_unlock(&calls);
}

sgp_status_t sgp_mpi_fail(const sgp_mpi_t *mpi, int code, const char *what) {
    char text[256];
    mpi->binding->describe(code, text, sizeof text);
    return sgp_fail(SGP_ERR_SYSTEM, "mpi: %s: %s", what, text);
}

/* ---- which module ---- */

/* The MPI library that the program itself is linked against. */
static const char *flavour_in_process(void) {
    int (*version)(char *text, int *length);
    void *symbol = dlsym(RTLD_DEFAULT, "MPI_Get_library_version");
    if (!symbol) return NULL;
    memcpy(&version, &symbol, sizeof version);
    char text[8192] = ""; /* MPI_MAX_LIBRARY_VERSION_STRING of all known libraries */
    int length = 0;
    if (version(text, &length) != 0) return NULL;
    if (strstr(text, "Open MPI")) return "openmpi";
    return strstr(text, "MPICH") ? "mpich" : UNKNOWN;
}

static const char *flavour_of_launcher(void) {
    if (getenv("OMPI_COMM_WORLD_SIZE")) return "openmpi";
    if (getenv("PMI_SIZE") || getenv("MPI_LOCALNRANKS")) return "mpich";
    return NULL;
}

/* "openmpi": libsgp-mpi-openmpi.so. */
static void *open_flavour(const char *flavour) {
    char name[64];
    const char *why = NULL;
    int length = snprintf(name, sizeof name, "mpi-%s", flavour);
    void *module = length < (int)sizeof name ? sgp_module_open(name, &why) : NULL;
    if (why) sgp_log(SGP_LOG_WARNING, "mpi: %s", why);
    return module;
}

static void *open_file(const char *file) {
    const char *why = NULL;
    void *module = sgp_module_open_file(file, &why);
    if (why) sgp_log(SGP_LOG_WARNING, "mpi: %s", why);
    return module;
}

static void *open_any(void) {
    static const char *const flavours[] = {"openmpi", "mpich", UNKNOWN};
    void *module = NULL;
    for (size_t i = 0; i < sizeof flavours / sizeof *flavours && !module; i++)
        module = open_flavour(flavours[i]);
    return module;
}

static sgp_status_t open_module(void **module) {
    const char *wanted = getenv("SGP_MPI");
    if (!wanted || !*wanted) wanted = flavour_in_process();
    if (!wanted) wanted = flavour_of_launcher();
    if (!wanted) *module = open_any();
    else *module = strchr(wanted, '/') ? open_file(wanted) : open_flavour(wanted);
    if (*module) return SGP_OK;
    if (!wanted)
        return sgp_fail(SGP_ERR_UNSUPPORTED,
                        "mpi: sgp was built without MPI: no module libsgp-mpi-*.so beside it; "
                        "install an MPI library and build again, or use the transport tcp");
    return sgp_fail(SGP_ERR_UNSUPPORTED,
                    "mpi: no module libsgp-mpi-%s.so beside libsgp or the program: build sgp where "
                    "that MPI library is installed, or use the transport tcp",
                    wanted);
}

/* ---- starting and ending ---- */

/* At the end of the process. If a transport was not left in order, the process has failed, and MPI_Finalize would wait for
 * the others in vain. */
static void end(void) {
    if (made == left && (loaded.state.any_thread || loaded.state.main)) loaded.binding->end();
}

static sgp_status_t start(const sgp_mpi_binding_t *binding) {
    loaded.binding = binding;
    int code = binding->start(&loaded.state);
    if (code) return sgp_mpi_fail(&loaded, code, "cannot be started");
    if (loaded.state.finalized)
        return sgp_fail(SGP_ERR_UNSUPPORTED, "mpi: MPI has been finalised in this process");
    if (loaded.state.ours) atexit(end);
    return SGP_OK;
}

static sgp_status_t load(void) {
    void *module = NULL;
    sgp_status_t status = open_module(&module);
    if (status != SGP_OK) return status;
    const sgp_mpi_binding_t *binding = dlsym(module, SGP_MPI_BINDING_SYMBOL);
    if (!binding)
        return sgp_fail(SGP_ERR_UNSUPPORTED, "mpi: the module is of another version of sgp: %s",
                        dlerror());
    status = start(binding);
    if (status != SGP_OK) loaded.binding = NULL;
    return status; /* the module stays: MPI cannot be unloaded */
}

sgp_status_t sgp_mpi_load(const sgp_mpi_t **mpi) {
    pthread_mutex_lock(&loading);
    sgp_status_t status = loaded.binding ? SGP_OK : load();
    pthread_mutex_unlock(&loading);
    if (status == SGP_OK) *mpi = &loaded;
    return status;
}

void sgp_mpi_count_made(void) {
    pthread_mutex_lock(&loading);
    made++;
    pthread_mutex_unlock(&loading);
}

void sgp_mpi_count_left(void) {
    pthread_mutex_lock(&loading);
    left++;
    pthread_mutex_unlock(&loading);
}
