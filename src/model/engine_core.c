/* SPDX-License-Identifier: Apache-2.0 */
#include "model/engine.h"

#include "base/logging.h"
#include "model/engine_private.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static openmp_t find_openmp(void) {
    openmp_t found = {NULL, NULL};
    void *set = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    void *get = dlsym(RTLD_DEFAULT, "omp_get_max_threads");
    if (!set || !get) return found;
    memcpy(&found.set_threads, &set, sizeof set); /* C has no cast from objects to functions */
    memcpy(&found.threads, &get, sizeof get);
    return found;
}

sgp_status_t engine_convert(dnnl_status_t status, const char *layer, const char *operation) {
    switch (status) {
    case dnnl_success:
        return SGP_OK;
    case dnnl_out_of_memory:
        return sgp_fail(SGP_ERR_NO_MEMORY, "%s: out of memory for %s", layer, operation);
    case dnnl_unimplemented:
        return sgp_fail(SGP_ERR_UNSUPPORTED, "%s: oneDNN does not implement %s here", layer,
                        operation);
    default:
        return sgp_fail(SGP_ERR_SYSTEM, "%s: %s failed in oneDNN with status %d", layer, operation,
                        (int)status);
    }
}

sgp_status_t engine_check_implementation(const char *layer, const char *operation,
                                         const char *implementation) {
    if (!implementation || !strstr(implementation, "ref")) return SGP_OK;
    return sgp_fail(SGP_ERR_UNSUPPORTED,
                    "%s: oneDNN would use its slow implementation %s for %s on this CPU", layer,
                    implementation, operation);
}

const char *engine_version(void) {
    static char text[32];
    const dnnl_version_t *version = dnnl_version();
    snprintf(text, sizeof text, "%d.%d.%d", version->major, version->minor, version->patch);
    return text;
}

bool engine_has_bfloat16(void) {
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    unsigned wanted = (unsigned)dnnl_cpu_isa_avx512_core_bf16;
    return (isa & wanted) == wanted;
}

/* options->threads, or the setting of the environment. */
static sgp_status_t set_threads(engine_t *engine, int threads) {
    engine->openmp = find_openmp();
    bool known = engine->openmp.threads != NULL;
    const char *environment = getenv("OMP_NUM_THREADS");
    if (threads == 0 && known && environment) threads = atoi(environment);
    engine->threads = threads > 0 ? threads : 1;
    if (engine->threads == 1 || known) return SGP_OK;
    return sgp_fail(SGP_ERR_UNSUPPORTED,
                    "%d threads per node need a oneDNN with OpenMP; this one has its own threads",
                    engine->threads);
}

int engine_threads_begin(const engine_t *engine) {
    if (!engine->openmp.threads) return engine->threads;
    int before = engine->openmp.threads();
    if (before != engine->threads) engine->openmp.set_threads(engine->threads);
    return before;
}

void engine_threads_end(const engine_t *engine, int before) {
    if (before != engine->threads) engine->openmp.set_threads(before);
}

sgp_status_t engine_create(arena_t *arena, int threads, engine_t **engine) {
    engine_t *e = calloc(1, sizeof *e);
    if (!e) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for an engine");
    e->arena = arena;
    sgp_status_t result = set_threads(e, threads);
    if (result) {
        engine_destroy(e);
        return result;
    }
    dnnl_status_t status = dnnl_engine_create(&e->engine, dnnl_cpu, 0);
    if (!status) status = dnnl_stream_create(&e->stream, e->engine, dnnl_stream_default_flags);
    if (!status) status = dnnl_primitive_attr_create(&e->attributes);
    if (!status)
        status = dnnl_primitive_attr_set_scratchpad_mode(e->attributes, dnnl_scratchpad_mode_user);
    if (status) {
        engine_destroy(e);
        return engine_convert(status, "model", "the CPU engine");
    }
    *engine = e;
    return SGP_OK;
}

void engine_destroy(engine_t *engine) {
    if (!engine) return;
    if (engine->attributes) dnnl_primitive_attr_destroy(engine->attributes);
    if (engine->stream) dnnl_stream_destroy(engine->stream);
    if (engine->engine) dnnl_engine_destroy(engine->engine);
    free(engine);
}

sgp_status_t engine_allocate_scratchpad(engine_t *engine) {
    engine->scratchpad = arena_alloc(engine->arena, engine->scratchpad_bytes);
    engine->copy = arena_alloc(engine->arena, engine->copy_bytes);
    if (engine->scratchpad && engine->copy) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a scratchpad of %zu bytes",
                    engine->scratchpad_bytes + engine->copy_bytes);
}

void kernel_fini(kernel_t *kernel) {
    for (int i = 0; i < kernel->count; i++) dnnl_memory_destroy(kernel->arguments[i].memory);
    if (kernel->primitive) dnnl_primitive_destroy(kernel->primitive);
    *kernel = (kernel_t){0};
}

/* The memory objects hold layouts only; each run sets their pointers. */
static dnnl_status_t kernel_add_argument(kernel_t *kernel, engine_t *engine,
                                         const_dnnl_primitive_desc_t description, int argument) {
    layout_view_t layout =
        dnnl_primitive_desc_query_md(description, dnnl_query_exec_arg_md, argument);
    dnnl_exec_arg_t *added = &kernel->arguments[kernel->count];
    added->arg = argument;
    dnnl_status_t status =
        dnnl_memory_create(&added->memory, layout, engine->engine, DNNL_MEMORY_NONE);
    if (!status) kernel->count++;
    return status;
}

sgp_status_t kernel_init(kernel_t *kernel, engine_t *engine, const char *layer,
                         const char *operation, const_dnnl_primitive_desc_t description,
                         const int *arguments, int count) {
    const char *implementation = NULL;
    dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, &implementation);
    sgp_status_t result = engine_check_implementation(layer, operation, implementation);
    if (result) return result;
    dnnl_status_t status = dnnl_primitive_create(&kernel->primitive, description);
    for (int i = 0; i < count && !status; i++)
        status = kernel_add_argument(kernel, engine, description, arguments[i]);
    if (!status) status = kernel_add_argument(kernel, engine, description, DNNL_ARG_SCRATCHPAD);
    size_t bytes = dnnl_memory_desc_get_size(
        dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0));
    if (bytes > engine->scratchpad_bytes) engine->scratchpad_bytes = bytes;
    return engine_convert(status, layer, operation);
}

sgp_status_t kernel_run(const kernel_t *kernel, const engine_t *engine,
                        const void *const pointers[]) {
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < kernel->count && !status; i++) {
        bool last = i == kernel->count - 1;
        status = dnnl_memory_set_data_handle(kernel->arguments[i].memory,
                                             last ? engine->scratchpad : (void *)pointers[i]);
    }
    int before = engine_threads_begin(engine);
    if (!status)
        status = dnnl_primitive_execute(kernel->primitive, engine->stream, kernel->count,
                                        kernel->arguments);
    if (!status) status = dnnl_stream_wait(engine->stream);
    engine_threads_end(engine, before);
    return engine_convert(status, "model", "running a primitive");
}
