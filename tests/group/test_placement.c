/* SPDX-License-Identifier: Apache-2.0 */
/* The placement of a process, by the environment that each launcher sets. */
#include "cmocka_all.h"

#include "group/join/placement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"SGP_RANK",
                                    "SGP_SIZE",
                                    "SGP_RENDEZVOUS",
                                    "SGP_JOIN",
                                    "PMIX_NAMESPACE",
                                    "PMIX_RANK",
                                    "OMPI_COMM_WORLD_RANK",
                                    "OMPI_COMM_WORLD_SIZE",
                                    "PMI_FD",
                                    "PMI_RANK",
                                    "PMI_SIZE",
                                    "RANK",
                                    "WORLD_SIZE",
                                    "MASTER_ADDR",
                                    "MASTER_PORT",
                                    "TORCHELASTIC_USE_AGENT_STORE",
                                    "TORCHELASTIC_RUN_ID",
                                    "TORCHELASTIC_RESTART_COUNT",
                                    "SLURM_PROCID",
                                    "SLURM_STEP_NUM_TASKS",
                                    "SLURM_STEP_NODELIST",
                                    "SLURM_STEP_ID",
                                    "SLURM_JOB_ID"};

/* "NAME=value NAME=value"; the other variables are unset. */
static void set_environment(const char *text) {
    char copy[512];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
    snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        char *equals = strchr(word, '=');
        assert_non_null(equals);
        *equals = '\0';
        assert_int_equal(setenv(word, equals + 1, 1), 0);
    }
}

static sgp_status_t find(const char *environment, sgp_placement_t *placement) {
    set_environment(environment);
    return sgp_placement_find(&(sgp_group_options_t){0}, placement);
}

static void test_launchers(void **state) {
    (void)state;
    static const struct {
        const char *environment;
        const sgp_launcher_t *launcher;
        int rank, size;
    } cases[] = {
        {"", NULL, 0, 1},
        {"SGP_RANK=2 SGP_SIZE=3 SGP_RENDEZVOUS=/x", &sgp_launcher_directory, 2, 3},
        {"SGP_JOIN=a:1 SGP_SIZE=3", &sgp_launcher_address, -1, 3},
        {"SGP_JOIN=a:1 SGP_SIZE=3 SGP_RANK=1", &sgp_launcher_address, 1, 3},
        {"PMIX_NAMESPACE=j PMIX_RANK=4", &sgp_launcher_pmix, 4, 0},
        {"PMIX_NAMESPACE=j PMIX_RANK=4 OMPI_COMM_WORLD_RANK=4 OMPI_COMM_WORLD_SIZE=8",
         &sgp_launcher_pmix, 4, 8},
        {"PMI_FD=7 PMI_RANK=1 PMI_SIZE=2", &sgp_launcher_pmi, 1, 2},
        {"RANK=1 WORLD_SIZE=4 MASTER_ADDR=a MASTER_PORT=29500", &sgp_launcher_torchrun, 1, 4},
        {"SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=4 SLURM_STEP_NODELIST=n[3-4] SLURM_STEP_ID=0",
         &sgp_launcher_slurm, 1, 4},
        /* our own variables come first */
        {"SGP_RANK=0 SGP_SIZE=2 SGP_RENDEZVOUS=/x SGP_JOIN=a:1", &sgp_launcher_directory, 0, 2},
        {"SGP_RANK=0 SGP_SIZE=2 PMI_FD=7 PMI_RANK=1 PMI_SIZE=3", &sgp_launcher_directory, 0, 2},
        {"RANK=1 WORLD_SIZE=4 MASTER_ADDR=a MASTER_PORT=29500 PMI_FD=7 PMI_RANK=1 PMI_SIZE=2",
         &sgp_launcher_pmi, 1, 2},
        /* Slurm's batch script and its interactive shell are not nodes */
        {"SLURM_PROCID=0 SLURM_JOB_ID=7", NULL, 0, 1},
        {"SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=1 SLURM_STEP_NODELIST=n3 SLURM_STEP_ID=0 "
         "PMIX_NAMESPACE=j PMIX_RANK=0",
         NULL, 0, 1},
        /* other programs set these variables as well */
        {"RANK=1 WORLD_SIZE=4", NULL, 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sgp_placement_t placement;
        assert_int_equal(find(cases[i].environment, &placement), SGP_OK);
        assert_ptr_equal(placement.launcher, cases[i].launcher);
        assert_int_equal(placement.rank, cases[i].rank);
        assert_int_equal(placement.size, cases[i].size);
    }
}

static void test_bad_values(void **state) {
    (void)state;
    static const char *const bad[] = {
        "SGP_RANK=0",
        "SGP_RANK=2 SGP_SIZE=2",
        "SGP_RANK=-1 SGP_SIZE=2",
        "SGP_RANK=x SGP_SIZE=2",
        "SGP_JOIN=a:1",
        "SGP_JOIN=a:1 SGP_SIZE=0",
        "SGP_JOIN=a:1 SGP_SIZE=2 SGP_RANK=2",
        "PMI_FD=7 PMI_RANK=2 PMI_SIZE=2",
        "RANK=4 WORLD_SIZE=4 MASTER_ADDR=a MASTER_PORT=29500",
        "RANK=0 WORLD_SIZE=4 MASTER_ADDR=a MASTER_PORT=65530",
        "SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=4 SLURM_STEP_NODELIST=n[3-4 SLURM_STEP_ID=0",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sgp_placement_t placement;
        assert_int_equal(find(bad[i], &placement), SGP_ERR_INVALID);
    }
}

/* torchrun's store listens on MASTER_PORT; two jobs of torchrun have different fingerprints. */
static void test_torchrun(void **state) {
    (void)state;
    sgp_placement_t first, agent, other;
    assert_int_equal(find("RANK=0 WORLD_SIZE=4 MASTER_ADDR=node7 MASTER_PORT=29500", &first),
                     SGP_OK);
    assert_string_equal(first.at, "node7:29500");
    assert_int_equal(first.role, SGP_JOIN_ROLE_SERVER);
    assert_int_equal(find("RANK=3 WORLD_SIZE=4 MASTER_ADDR=2001:db8::1 MASTER_PORT=29500 "
                          "TORCHELASTIC_USE_AGENT_STORE=True TORCHELASTIC_RUN_ID=x",
                          &agent),
                     SGP_OK);
    assert_string_equal(agent.at, "[2001:db8::1]:29501");
    assert_int_equal(agent.ports, 16);
    assert_int_equal(agent.role, SGP_JOIN_ROLE_CLIENT);
    assert_int_equal(find("RANK=3 WORLD_SIZE=4 MASTER_ADDR=2001:db8::1 MASTER_PORT=29500 "
                          "TORCHELASTIC_USE_AGENT_STORE=True TORCHELASTIC_RUN_ID=y",
                          &other),
                     SGP_OK);
    assert_true(agent.fingerprint && other.fingerprint && agent.fingerprint != other.fingerprint);
}

static void test_first_host(void **state) {
    (void)state;
    static const char *const lists[][2] = {
        {"node7", "node7"},           {"node7,node8", "node7"},
        {"node[07-09,11]", "node07"}, {"node[3,5],other1", "node3"},
        {"r[1-2]n[04-05]", "r1n04"},  {"a[1-2]-ib,b", "a1-ib"}};
    char host[16];
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        assert_true(sgp_slurm_first_host(lists[i][0], host, sizeof host));
        assert_string_equal(host, lists[i][1]);
    }
    assert_false(sgp_slurm_first_host("", host, sizeof host));
    assert_false(sgp_slurm_first_host("node[1-2", host, sizeof host));
    assert_false(sgp_slurm_first_host("a-name-of-16-chars", host, sizeof host));
}

/* Options come before the environment. */
static void test_options(void **state) {
    (void)state;
    sgp_placement_t placement;
    set_environment("SGP_JOIN=a:1 SGP_SIZE=3 SGP_RANK=1");
    sgp_group_options_t options = {.join = "b:2", .size = 5};
    assert_int_equal(sgp_placement_find(&options, &placement), SGP_OK);
    assert_string_equal(placement.at, "b:2");
    assert_int_equal(placement.size, 5);
    assert_int_equal(placement.rank, 1);
    options.claim_rank = true;
    options.rank = 4;
    assert_int_equal(sgp_placement_find(&options, &placement), SGP_OK);
    assert_int_equal(placement.rank, 4);
    options = (sgp_group_options_t){.rank = 1, .size = 2, .rendezvous = "/x"};
    assert_int_equal(sgp_placement_find(&options, &placement), SGP_OK);
    assert_ptr_equal(placement.launcher, &sgp_launcher_directory);
    assert_string_equal(placement.rendezvous, "/x");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_launchers), cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_torchrun),  cmocka_unit_test(test_first_host),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests_name("placement", tests, NULL, NULL);
}
