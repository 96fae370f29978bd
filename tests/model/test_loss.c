/* SPDX-License-Identifier: Apache-2.0 */
#include "reference.h"

#include "model/layers/loss.h"
#include "model/layers/relu.h"

enum { COUNT = 5, CLASSES = 7 };

static const int32_t LABELS[COUNT] = {0, 6, 3, 3, 1};

static void agrees_with_the_reference(void **state) {
    (void)state;
    float *logits = make_random(COUNT * CLASSES, 1, 3.0), gradient[COUNT * CLASSES];
    double *z = to_doubles(logits, COUNT * CLASSES), expected[COUNT * CLASSES];
    for (int valid = 0; valid <= COUNT; valid++) {
        model_result_t result;
        loss_softmax(COUNT, valid, CLASSES, logits, LABELS, gradient, &result);
        double loss = reference_loss(COUNT, valid, CLASSES, z, LABELS, expected);
        assert_true(fabs(result.loss_sum - loss * valid) < 1e-9);
        assert_close("gradient", gradient, expected, COUNT * CLASSES, 1e-6);
    }
    free(logits), free(z);
}

static void agrees_with_finite_differences(void **state) {
    (void)state;
    const float width = 1e-2f;
    float *logits = make_random(COUNT * CLASSES, 1, 1.0), gradient[COUNT * CLASSES];
    model_result_t result, right, left;
    loss_softmax(COUNT, COUNT, CLASSES, logits, LABELS, gradient, &result);
    for (int i = 0; i < COUNT * CLASSES; i++) {
        float before = logits[i];
        logits[i] = before + width;
        loss_softmax(COUNT, COUNT, CLASSES, logits, LABELS, NULL, &right);
        logits[i] = before - width;
        loss_softmax(COUNT, COUNT, CLASSES, logits, LABELS, NULL, &left);
        logits[i] = before;
        double slope = (right.loss_sum - left.loss_sum) / (2.0 * (double)width) / COUNT;
        assert_true(fabs(slope - (double)gradient[i]) < 1e-5);
    }
    free(logits);
}

/* Equal logits give the log of the number of classes; a huge logit does not overflow. */
static void known_values(void **state) {
    (void)state;
    float even[CLASSES] = {0}, huge[CLASSES] = {[2] = 1e30f}, gradient[CLASSES];
    model_result_t result;
    loss_softmax(1, 1, CLASSES, even, (const int32_t[]){4}, gradient, &result);
    assert_true(fabs(result.loss_sum - log(CLASSES)) < 1e-12);
    assert_int_equal(result.correct, 0); /* the first of equal logits counts as the largest */
    loss_softmax(1, 1, CLASSES, huge, (const int32_t[]){2}, gradient, &result);
    assert_true(result.loss_sum == 0.0);
    assert_int_equal(result.correct, 1);
    for (int j = 0; j < CLASSES; j++) assert_true(gradient[j] == 0.0f);
}

static void counts_the_correct(void **state) {
    (void)state;
    float logits[COUNT * CLASSES] = {0};
    model_result_t result;
    for (int i = 0; i < COUNT; i++) logits[i * CLASSES + (i < 3 ? LABELS[i] : 5)] = 1.0f;
    loss_softmax(COUNT, COUNT, CLASSES, logits, LABELS, NULL, &result);
    assert_int_equal(result.correct, 3);
    loss_softmax(COUNT, 2, CLASSES, logits, LABELS, NULL, &result);
    assert_int_equal(result.correct, 2);
}

static void relu(void **state) {
    (void)state;
    const float x[] = {-1.0f, 0.0f, 2.0f, -0.0f, NAN}, dy[] = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f};
    float y[5], dx[5], sum[] = {1.0f, 1.0f, 1.0f, 1.0f, 1.0f};
    relu_forward(ELEMENT_FLOAT32, 5, x, y);
    assert_true(y[0] == 0.0f && y[1] == 0.0f && y[2] == 2.0f && y[3] == 0.0f && isnan(y[4]));
    relu_backward(ELEMENT_FLOAT32, 4, y, dy, dx);
    assert_true(dx[0] == 0.0f && dx[1] == 0.0f && dx[2] == 3.0f && dx[3] == 0.0f);
    gradient_add(ELEMENT_FLOAT32, 5, dy, sum);
    assert_true(sum[0] == 2.0f && sum[4] == 6.0f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_reference),
        cmocka_unit_test(agrees_with_finite_differences),
        cmocka_unit_test(known_values),
        cmocka_unit_test(counts_the_correct),
        cmocka_unit_test(relu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
