/* SPDX-License-Identifier: Apache-2.0 */
/* Two members train on over tcp while a third one joins and goes, again and again: every second time it leaves, else it ends
 * without leaving. No thread, file or memory of the process, in which all of them are threads, grows with the number of joins.
 * `test_mixing_joins_again N` makes N of them instead of 40. Real time. */
#include "entries.h"
#include "ranks.h"

#include "replaced_malloc.h"

#include <sgp/mixer.h>
#include <string.h>

enum { COUNT = 2000, MEMBERS = 2, CAPACITY = 4, SETTLED = 20, STEPS = 5, LOOKS = 40 };

/* Pools grow now and then, up to what was once under way at a time: by a chunk (256 KiB), or a few records. So memory is counted
 * without large pieces, and what is in use or resident may grow by less than a piece for every other join. */
enum { LARGE = 64 << 10, PIECES = 15, BYTES = 4 << 10, RESIDENT_BYTES = 4 << 20 };

static int joins = 40;

/* ---- memory in use ---- */

static atomic_long pieces, bytes_used;

static bool fails(const void *caller) {
    (void)caller;
    return false;
}

static void count_piece(const void *memory, long sign) {
    long bytes = memory ? (long)malloc_usable_size((void *)memory) : 0;
    if (bytes == 0 || bytes >= LARGE) return;
    atomic_fetch_add(&pieces, sign);
    atomic_fetch_add(&bytes_used, sign * bytes);
}

static void *made(void *memory, const void *caller) {
    (void)caller;
    count_piece(memory, 1);
    return memory;
}

static void forget(const void *memory) {
    count_piece(memory, -1);
}

typedef struct run {
    char contacts[MEMBERS][SGP_ADDRESS_TEXT], called[2 * SGP_ADDRESS_TEXT];
    pthread_barrier_t founded; /* of the members and the test */
    atomic_ulong stop_at;      /* step; 0: not known */
    atomic_bool ends;
    double total[MEMBERS];
} run_t;

typedef struct member {
    run_t *run;
    int rank;
    pthread_t thread;
} member_t;

static sgp_status_t snapshot(void *user, void **bytes, size_t *count) {
    (void)user;
    *count = 1000;
    *bytes = calloc(1, *count);
    return SGP_OK;
}

static sgp_status_t step_once(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer, float *gradient,
                              int rank) {
    const float *z = sgp_mixer_parameters(mixer);
    for (int i = 0; i < COUNT; i++) gradient[i] = z[i] - (float)rank;
    return sgp_mixer_step(mixer, optimizer, gradient, 0.05f);
}

/* ---- the members that stay ---- */

static void train(run_t *run, sgp_mixer_t *mixer, int rank) {
    float *gradient = calloc(COUNT, sizeof *gradient);
    sgp_optimizer_t *optimizer = NULL;
    sgp_mixer_consensus_t consensus;
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = COUNT}, &optimizer) == SGP_OK);
    for (uint64_t step = 0, stop_at = 0; !stop_at || step < stop_at; step++) {
        if (step_once(mixer, optimizer, gradient, rank) != SGP_OK) {
            CHECK(!"a step of a member");
            break;
        }
        if (rank == 1 && atomic_load(&run->ends) && !atomic_load(&run->stop_at))
            atomic_store(&run->stop_at, step + 20);
        stop_at = atomic_load(&run->stop_at);
    }
    CHECK(sgp_mixer_average(mixer, NULL, &consensus) == SGP_OK);
    run->total[rank] = consensus.w_total;
    sgp_optimizer_destroy(optimizer);
    free(gradient);
}

static void *member_main(void *argument) {
    member_t *member = argument;
    run_t *run = member->run;
    sgp_group_t *group = NULL;
    sgp_mixer_t *mixer = NULL;
    char ports[16];
    snprintf(ports, sizeof ports, "%s-%s", strrchr(run->contacts[member->rank], ':') + 1,
             strrchr(run->contacts[member->rank], ':') + 1);
    sgp_group_options_t options = {.rank = member->rank,
                                   .size = MEMBERS,
                                   .join = run->contacts[0],
                                   .ports = member->rank ? ports : NULL,
                                   .claim_rank = true,
                                   .transport = "tcp",
                                   .elastic = 1,
                                   .capacity = CAPACITY};
    sgp_newcomers_t newcomers = {.snapshot = snapshot};
    float *initial = calloc(COUNT, sizeof *initial);
    CHECK(sgp_group_join(&options, &group) == SGP_OK);
    if (group) CHECK(sgp_group_accept(group, &newcomers) == SGP_OK);
    if (group)
        CHECK(sgp_mixer_create(group, &(sgp_mixer_options_t){.count = COUNT}, initial, &mixer) ==
              SGP_OK);
    free(initial);
    pthread_barrier_wait(&run->founded);
    if (mixer) train(run, mixer, member->rank);
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group);
    return NULL;
}

/* ---- the one that comes and goes ---- */

static void make_steps(sgp_group_t *group, sgp_mixer_t *mixer) {
    float *gradient = calloc(COUNT, sizeof *gradient);
    sgp_optimizer_t *optimizer = NULL;
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = COUNT}, &optimizer) == SGP_OK);
    for (int i = 0; i < STEPS; i++)
        CHECK(step_once(mixer, optimizer, gradient, sgp_group_rank(group)) == SGP_OK);
    sgp_optimizer_destroy(optimizer);
    free(gradient);
}

static bool come_and_go(run_t *run, bool leaves) {
    sgp_group_options_t options = {.contacts = run->called, .join_timeout_ms = 30000};
    sgp_group_t *group = NULL;
    sgp_mixer_t *mixer = NULL;
    void *state = NULL;
    size_t count = 0;
    if (sgp_group_join(&options, &group) != SGP_OK) return false;
    bool good = sgp_group_fetch(group, 2000, &state, &count) == SGP_OK && count == 1000;
    free(state);
    good = good &&
           sgp_mixer_create(group, &(sgp_mixer_options_t){.count = COUNT}, NULL, &mixer) == SGP_OK;
    if (good) make_steps(group, mixer);
    sgp_mixer_destroy(mixer);
    if (leaves) sgp_group_leave(group);
    else sgp_group_abort(group);
    return good;
}

/* ---- what the process has ---- */

typedef struct usage {
    long files, threads, pieces, bytes, resident;
} usage_t;

static long resident(void) {
    unsigned long size, pages;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &size, &pages), 2);
    fclose(file);
    return (long)pages * sysconf(_SC_PAGESIZE);
}

static void least(usage_t *usage, const usage_t *now) {
    if (now->files < usage->files) usage->files = now->files;
    if (now->threads < usage->threads) usage->threads = now->threads;
    if (now->pieces < usage->pieces) usage->pieces = now->pieces;
    if (now->bytes < usage->bytes) usage->bytes = now->bytes;
    if (now->resident < usage->resident) usage->resident = now->resident;
}

/* The least of several looks: a step has messages under way, and the end of a connection takes a moment. */
static usage_t look(void) {
    usage_t usage = {.files = -1};
    for (int i = 0; i < LOOKS; i++) {
        usage_t now = {count_entries("/proc/self/fd"), count_entries("/proc/self/task"),
                       atomic_load(&pieces), atomic_load(&bytes_used), resident()};
        if (usage.files < 0) usage = now;
        least(&usage, &now);
        usleep(2000);
    }
    return usage;
}

static void show(const char *when, const usage_t *usage) {
    printf("%s: %ld files, %ld threads, %ld bytes in %ld pieces, %ld resident\n", when,
           usage->files, usage->threads, usage->bytes, usage->pieces, usage->resident);
}

static void begin(run_t *run, member_t *members) {
    atomic_store(&ranks_failures, 0);
    pthread_barrier_init(&run->founded, NULL, MEMBERS + 1);
    for (int r = 0; r < MEMBERS; r++) ranks_free_address(run->contacts[r]);
    snprintf(run->called, sizeof run->called, "%s,%s", run->contacts[0], run->contacts[1]);
    for (int r = 0; r < MEMBERS; r++) {
        members[r] = (member_t){.run = run, .rank = r};
        pthread_create(&members[r].thread, NULL, member_main, &members[r]);
    }
    pthread_barrier_wait(&run->founded);
}

static void end(run_t *run, member_t *members) {
    atomic_store(&run->ends, true);
    for (int r = 0; r < MEMBERS; r++) pthread_join(members[r].thread, NULL);
    pthread_barrier_destroy(&run->founded);
    assert_int_equal(atomic_load(&ranks_failures), 0);
    for (int r = 0; r < MEMBERS; r++)
        assert_true(run->total[r] > MEMBERS - 1e-9 && run->total[r] < MEMBERS + 1e-9);
}

static void test_joins_again(void **state) {
    (void)state;
    run_t run = {.ends = false};
    member_t members[MEMBERS];
    usage_t before = {.files = 0}, after;
    begin(&run, members);
    for (int i = 0; i < joins; i++) {
        if (!come_and_go(&run, i % 2)) fail_msg("join %d", i);
        if (i + 1 == SETTLED) before = look();
        if ((i + 1) % 100 == 0) after = look(), show("so far", &after);
    }
    after = look();
    end(&run, members);
    show("settled", &before);
    show("at the end", &after);
    assert_true(after.files <= before.files);
    assert_true(after.threads <= before.threads);
    assert_true(after.pieces <= before.pieces + PIECES);
    assert_true(after.bytes <= before.bytes + BYTES);
    assert_true(after.resident <= before.resident + RESIDENT_BYTES);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_joins_again)};
    if (argc > 1) joins = atoi(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
