/* SPDX-License-Identifier: Apache-2.0 */
/* A newcomer has the options of the run from its members, and is told what differs from them. */
#include "run/run_fixture.h"

#include "run/invitation.h"

#define ID "0123456789abcdef0123456789abcdef"

static int set_up(void **state) {
    return fixture_set_up(state, 40, 10, 8);
}

static train_options_t members_run(const fixture_t *fixture) {
    train_options_t options = fixture_run(fixture, 3);
    options.output = "runs/a \"b\"";
    options.lr = 0.1 / 3;
    options.seed = UINT64_MAX;
    options.slow_momentum = 0.5;
    options.overlap = 2;
    options.init = "no such file";
    train_options_settle(&options);
    return options;
}

static char *invite(const train_options_t *options, size_t *bytes) {
    replica_t replica;
    char *text = NULL;
    assert_int_equal(replica_init(&replica, options, 0), SGP_OK);
    strcpy(replica.initial_hash, "of a file");
    assert_int_equal(invitation_make(options, &replica, ID, &text, bytes), SGP_OK);
    assert_int_equal(strlen(text), *bytes);
    replica_fini(&replica);
    return text;
}

/* The newcomer's options, as its command line then may change them. */
static invitation_t accept(const train_options_t *members, train_options_t *options) {
    config_mistake_t mistake;
    invitation_t invitation;
    size_t bytes;
    char *text = invite(members, &bytes);
    assert_int_equal(invitation_read(text, bytes, &invitation), SGP_OK);
    free(text); /* the invitation has its own */
    train_options_init(options);
    assert_true(invitation_options(&invitation, options, &mistake));
    return invitation;
}

static bool check(const invitation_t *invitation, const train_options_t *options, char *why) {
    replica_t replica;
    assert_int_equal(replica_init(&replica, options, 1), SGP_OK);
    bool same = invitation_check(invitation, options, &replica, why, 256);
    replica_fini(&replica);
    return same;
}

static void a_newcomer_has_the_options_of_the_run(void **state) {
    train_options_t members = members_run(*state), options;
    char why[256];
    invitation_t invitation = accept(&members, &options);
    assert_string_equal(invitation.run_id, ID);
    assert_string_equal(invitation.output, members.output);
    assert_string_equal(options.model, "mlp");
    assert_string_equal(options.data, members.data);
    assert_true(options.lr == members.lr && options.seed == members.seed);
    assert_int_equal(options.nodes, 3);
    assert_int_equal(options.overlap, 2);
    assert_null(options.init);
    assert_null(options.output);
    options.output = invitation.output;
    if (!check(&invitation, &options, why)) fail_msg("%s", why);
    invitation_release(&invitation);
}

/* A run that was resumed, or began from a file, takes newcomers that have no such files. */
static void a_newcomer_needs_no_file_of_the_beginning(void **state) {
    train_options_t members = members_run(*state), options;
    char why[256];
    members.resume = "runs/before";
    invitation_t invitation = accept(&members, &options);
    assert_null(options.resume);
    options.output = invitation.output;
    assert_true(check(&invitation, &options, why));
    invitation_release(&invitation);
}

static void a_difference_is_named_with_both_values(void **state) {
    train_options_t members = members_run(*state), options;
    char why[256];
    invitation_t invitation = accept(&members, &options);
    options.output = invitation.output;
    options.momentum = 0.5;
    assert_false(check(&invitation, &options, why));
    assert_string_equal(why, "momentum is 0.9 in the run, and 0.5 on the newcomer");
    options.momentum = members.momentum;
    options.model = "lenet";
    assert_false(check(&invitation, &options, why));
    assert_string_equal(why, "model is mlp in the run, and lenet on the newcomer");
    invitation_release(&invitation);
}

static void other_data_are_refused(void **state) {
    train_options_t members = members_run(*state), options;
    char why[256], data[64];
    invitation_t invitation = accept(&members, &options);
    options.output = invitation.output;
    make_directory(data);
    write_dataset(data, 41, 10, 8);
    options.data = data;
    assert_false(check(&invitation, &options, why));
    assert_string_equal(why, "training samples is 40 in the run, and 41 on the newcomer");
    invitation_release(&invitation);
    remove_directory(data);
}

static void expect_refusal(const char *text, sgp_status_t status, const char *line) {
    invitation_t invitation;
    assert_int_equal(invitation_read(text, strlen(text), &invitation), status);
    assert_null(invitation.json);
    if (!strstr(captured.last, line)) fail_msg("%s: %s", text, captured.last);
}

/* Of this version, with these members. */
static void expect_own(const char *members) {
    char text[256];
    snprintf(text, sizeof text, "{\"sgp_version\":\"%s\",%s}", sgp_version(), members);
    expect_refusal(text, SGP_ERR_FORMAT, "cannot be read");
}

static void what_is_no_invitation_is_refused(void **state) {
    (void)state;
    const char *const none = "does not belong to a run";
    expect_refusal("", SGP_ERR_FORMAT, none);
    expect_refusal("{", SGP_ERR_FORMAT, none);
    expect_refusal("[]", SGP_ERR_FORMAT, none);
    expect_refusal("{\"run_id\":\"\"}", SGP_ERR_FORMAT, none);
    expect_refusal("{\"sgp_version\":3}", SGP_ERR_FORMAT, none);
    expect_refusal("{\"sgp_version\":\"0.0.1\"}", SGP_ERR_MISMATCH, "of sgp 0.0.1, and this is");
    expect_own("\"x\":1");
    expect_own("\"run_id\":\"0\",\"agreement\":\"\",\"options\":[]");
    expect_own(
        "\"run_id\":\"0123456789abcdef0123456789abcdef0\",\"agreement\":\"\",\"options\":{}");
}

/* Each byte of an invitation changed, and each beginning of it: read or refused, and never more. */
static void damaged_invitations_are_read_or_refused(void **state) {
    train_options_t members = members_run(*state);
    size_t bytes;
    char *text = invite(&members, &bytes);
    for (size_t i = 0; i < bytes; i++) {
        invitation_t invitation;
        train_options_t options;
        config_mistake_t mistake;
        assert_int_equal(invitation_read(text, i, &invitation), SGP_ERR_FORMAT);
        text[i] ^= 1 << (i % 8);
        train_options_init(&options);
        if (invitation_read(text, bytes, &invitation) == SGP_OK)
            invitation_options(&invitation, &options, &mistake);
        invitation_release(&invitation);
        text[i] ^= 1 << (i % 8);
    }
    free(text);
}

static void a_long_invitation_is_not_sent(void **state) {
    train_options_t members = members_run(*state);
    replica_t replica;
    size_t bytes = 0;
    char *text = NULL, *output = calloc(1, INVITATION_BYTES);
    memset(output, 'a', INVITATION_BYTES - 1);
    assert_int_equal(replica_init(&replica, &members, 0), SGP_OK);
    members.output = output;
    assert_int_equal(invitation_make(&members, &replica, ID, &text, &bytes), SGP_ERR_INVALID);
    assert_null(text);
    replica_fini(&replica);
    free(output);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_newcomer_has_the_options_of_the_run),
        cmocka_unit_test(a_newcomer_needs_no_file_of_the_beginning),
        cmocka_unit_test(a_difference_is_named_with_both_values),
        cmocka_unit_test(other_data_are_refused),
        cmocka_unit_test(what_is_no_invitation_is_refused),
        cmocka_unit_test(damaged_invitations_are_read_or_refused),
        cmocka_unit_test(a_long_invitation_is_not_sent),
    };
    return cmocka_run_group_tests(tests, set_up, fixture_tear_down);
}
