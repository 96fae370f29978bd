/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of this machine and the limits of cgroups, with a directory in place of /. */
#include "data/support.h"

#include "run/machine.h"

#include <sys/stat.h>

static char root[64];

static int set_up(void **state) {
    (void)state;
    make_directory(root);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    remove_directory(root);
    return 0;
}

/* A file below root with the directories that lead to it. */
static void put(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void assert_limit(double bytes, const char *limit) {
    machine_memory_t found = machine_memory(root);
    assert_true(found.bytes == bytes);
    assert_string_equal(found.limit, limit);
}

static void without_cgroups(void **state) {
    (void)state;
    machine_memory_t found = machine_memory(root);
    assert_true(found.bytes == (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE));
    assert_null(found.limit);
}

/* The least limit on the way up; "max" is none. */
static void version_2(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/user.slice/run.scope\n");
    put("/sys/fs/cgroup/user.slice/run.scope/memory.max", "max\n");
    machine_memory_t found = machine_memory(root);
    assert_null(found.limit);
    put("/sys/fs/cgroup/user.slice/memory.max", "1048576\n");
    assert_limit(1048576, "memory.max");
    put("/sys/fs/cgroup/user.slice/run.scope/memory.max", "65536\n");
    assert_limit(65536, "memory.max");
    put("/sys/fs/cgroup/user.slice/run.scope/memory.max", "2097152\n");
    assert_limit(1048576, "memory.max");
}

/* Among other controllers; with the number that means no limit; and with only the root visible, as
 * in a container. */
static void version_1(void **state) {
    (void)state;
    put("/proc/self/cgroup", "5:cpu,memory_like:/other\n4:cpuset,memory:/docker/1234\n0::/\n");
    put("/sys/fs/cgroup/memory/docker/1234/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/other/memory.limit_in_bytes", "1\n");
    machine_memory_t found = machine_memory(root);
    assert_null(found.limit);
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "4194304\n");
    assert_limit(4194304, "memory.limit_in_bytes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_cgroups, set_up, tear_down),
        cmocka_unit_test_setup_teardown(version_2, set_up, tear_down),
        cmocka_unit_test_setup_teardown(version_1, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
