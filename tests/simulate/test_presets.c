/* SPDX-License-Identifier: Apache-2.0 */
/* Networks and models by name, and the platform of a network. */
#include "cmocka_all.h"

#include "simulate/presets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Calls check for each name of a list "a, b, c"; returns their number. */
static int each_name(const char *list, void (*check)(const char *name)) {
    int count = 0;
    char *copy = strdup(list), *rest = copy;
    for (char *name; (name = strsep(&rest, ","));) {
        check(name + strspn(name, " "));
        count++;
    }
    free(copy);
    return count;
}

static void check_network(const char *name) {
    simulation_network_t network = {0};
    assert_true(simulation_network_find(name, &network));
    assert_string_equal(network.name, name);
    assert_null(network.platform);
    assert_true(network.bytes_per_second > 0);
    assert_true(network.latency_ms > 0);
}

static void check_model(const char *name) {
    assert_true(simulation_model_parameters(name) >= 1);
}

static void test_every_name_is_known(void **state) {
    (void)state;
    assert_true(each_name(simulation_network_names(), check_network) >= 2);
    assert_true(each_name(simulation_model_names(), check_model) >= 2);
}

static void test_unknown_names(void **state) {
    (void)state;
    simulation_network_t network;
    assert_false(simulation_network_find("ethernet", &network));
    assert_int_equal(simulation_model_parameters("vgg"), 0);
}

/* A full Ethernet frame of 1538 bytes on the wire carries 1460 of payload; ResNet-50 has 25,557,032 parameters. */
static void test_figures(void **state) {
    (void)state;
    simulation_network_t network;
    assert_true(simulation_network_find("ethernet-1g", &network));
    double rate = 1e9 / 8 * 1460 / 1538;
    assert_in_range(network.bytes_per_second, (uintmax_t)(0.999 * rate), (uintmax_t)(1.001 * rate));
    assert_int_equal(simulation_model_parameters("resnet50"), 25557032);
}

static void test_platform(void **state) {
    (void)state;
    char text[1024];
    simulation_network_t network = {.name = "custom", .bytes_per_second = 12345678};
    int file = simulation_network_file(&network, 17);
    assert_true(file >= 0);
    ssize_t length = pread(file, text, sizeof text - 1, 0);
    close(file);
    assert_true(length > 0);
    text[length] = '\0';
    assert_non_null(strstr(text, "radical=\"0-16\""));
    assert_non_null(strstr(text, "bw=\"12345678Bps\""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_name_is_known),
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_platform),
    };
    return cmocka_run_group_tests_name("presets", tests, NULL, NULL);
}
