/* SPDX-License-Identifier: Apache-2.0 */
/* Save, end, load, go on: the same bits as a run without a break.
 *
 * sgp run --nodes 2 -- ./save_and_resume 200            the whole run
 * sgp run --nodes 2 -- ./save_and_resume 120 DIR        half of it, whose state goes into DIR
 * sgp run --nodes 2 -- ./save_and_resume 200 DIR        the rest of it
 *
 * Every run saves after step 120, since saving absorbs the messages under way. The program's own
 * state, here the number of the step, goes into the file as well. */
#include <sgp/sgp.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define P       1000
#define SAVE_AT 120

typedef struct run {
    sgp_group_t *group;
    sgp_mixer_t *mixer;
    sgp_optimizer_t *optimizer;
    long step; /* made so far */
} run_t;

static void must(sgp_status_t status) {
    if (status == SGP_OK) return;
    fprintf(stderr, "save_and_resume: %s: %s\n", sgp_status_name(status), sgp_last_error());
    exit(EXIT_FAILURE);
}

static void fail(const char *what, const char *path) {
    fprintf(stderr, "save_and_resume: %s: %s\n", path, what);
    exit(EXIT_FAILURE);
}

static void *allocate(size_t bytes) {
    void *memory = malloc(bytes);
    if (!memory) fail("no memory", "state");
    return memory;
}

/* A file holds the step, and then two blocks, each behind its size. */
static void put(FILE *file, const void *bytes, size_t size) {
    fwrite(&size, sizeof size, 1, file);
    fwrite(bytes, 1, size, file);
}

static void *get(FILE *file, size_t *size, const char *path) {
    if (fread(size, sizeof *size, 1, file) != 1) fail("too short", path);
    void *bytes = allocate(*size);
    if (fread(bytes, 1, *size, file) != *size) fail("too short", path);
    return bytes;
}

/* Every node saves after the same step. path NULL: the state is made and dropped. */
static void save(run_t *run, const char *path) {
    size_t mixer_size = sgp_mixer_state_size(run->mixer);
    size_t optimizer_size = sgp_optimizer_state_size(run->optimizer);
    void *mixer = allocate(mixer_size), *optimizer = allocate(optimizer_size);
    must(sgp_mixer_state_save(run->mixer, mixer, mixer_size));
    must(sgp_optimizer_state_save(run->optimizer, optimizer, optimizer_size));
    FILE *file = path ? fopen(path, "wb") : NULL;
    if (path && !file) fail("cannot be written", path);
    if (file) {
        put(file, &run->step, sizeof run->step);
        put(file, mixer, mixer_size);
        put(file, optimizer, optimizer_size);
        if (fclose(file) != 0) fail("cannot be written", path);
    }
    free(mixer);
    free(optimizer);
}

/* Before the first step. */
static void load(run_t *run, FILE *file, const char *path) {
    size_t step_size, mixer_size, optimizer_size;
    void *step = get(file, &step_size, path);
    void *mixer = get(file, &mixer_size, path), *optimizer = get(file, &optimizer_size, path);
    if (step_size != sizeof run->step) fail("not a state", path);
    memcpy(&run->step, step, sizeof run->step);
    must(sgp_mixer_state_load(run->mixer, mixer, mixer_size));
    must(sgp_optimizer_state_load(run->optimizer, optimizer, optimizer_size));
    free(step);
    free(mixer);
    free(optimizer);
}

/* Towards a target of the node's own, with noise that depends on the step. gradient: (P). */
static void gradient_at(const float *z, int rank, long step, float *gradient) {
    unsigned state = (unsigned)(step * 1000 + rank);
    for (int i = 0; i < P; i++) {
        state = state * 1664525u + 1013904223u;
        gradient[i] = z[i] - (float)((rank + i) % 5) + (float)(state >> 8) / 16777216.0f;
    }
}

/* FNV-1a over the bytes. */
static unsigned hash_of(const float *values) {
    const unsigned char *bytes = (const unsigned char *)values;
    unsigned hash = 2166136261u;
    for (size_t i = 0; i < P * sizeof *values; i++) hash = (hash ^ bytes[i]) * 16777619u;
    return hash;
}

int main(int argc, char **argv) {
    static float gradient[P], average[P];
    run_t run = {0};
    char path[4096];
    if (argc < 2) fail("usage: save_and_resume STEPS [DIR]", "arguments");
    long steps = strtol(argv[1], NULL, 10);

    must(sgp_group_join(&(sgp_group_options_t){0}, &run.group));
    int rank = sgp_group_rank(run.group);
    sgp_mixer_options_t options = {.count = P, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 1};
    must(sgp_mixer_create(run.group, &options, NULL, &run.mixer));
    must(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = P, .momentum = 0.9f},
                              &run.optimizer));
    if (argc > 2) snprintf(path, sizeof path, "%s/node-%d.state", argv[2], rank);
    FILE *file = argc > 2 ? fopen(path, "rb") : NULL;
    if (file) {
        load(&run, file, path);
        fclose(file);
        printf("node %d: resumed after step %ld\n", rank, run.step);
    }
    while (run.step < steps) {
        gradient_at(sgp_mixer_parameters(run.mixer), rank, run.step, gradient);
        must(sgp_mixer_step(run.mixer, run.optimizer, gradient, 0.05f));
        if (++run.step == SAVE_AT) save(&run, argc > 2 ? path : NULL);
    }
    must(sgp_mixer_average(run.mixer, average, NULL));
    printf("node %d: %ld steps, average %08x\n", rank, run.step, hash_of(average));
    sgp_optimizer_destroy(run.optimizer);
    sgp_mixer_destroy(run.mixer);
    sgp_group_leave(run.group);
    return 0;
}
