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
        loss_softmax(&(loss_t){COUNT, valid, CLASSES, 0.0}, logits, LABELS, gradient, &result);
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
    loss_softmax(&(loss_t){COUNT, COUNT, CLASSES, 0.0}, logits, LABELS, gradient, &result);
    for (int i = 0; i < COUNT * CLASSES; i++) {
        float before = logits[i];
        logits[i] = before + width;
        loss_softmax(&(loss_t){COUNT, COUNT, CLASSES, 0.0}, logits, LABELS, NULL, &right);
        logits[i] = before - width;
        loss_softmax(&(loss_t){COUNT, COUNT, CLASSES, 0.0}, logits, LABELS, NULL, &left);
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
    loss_softmax(&(loss_t){1, 1, CLASSES, 0.0}, even, (const int32_t[]){4}, gradient, &result);
    assert_true(fabs(result.loss_sum - log(CLASSES)) < 1e-12);
    assert_int_equal(result.correct, 0); /* the first of equal logits counts as the largest */
    loss_softmax(&(loss_t){1, 1, CLASSES, 0.0}, huge, (const int32_t[]){2}, gradient, &result);
    assert_true(result.loss_sum == 0.0);
    assert_int_equal(result.correct, 1);
    for (int j = 0; j < CLASSES; j++) assert_true(gradient[j] == 0.0f);
}

static void counts_the_correct(void **state) {
    (void)state;
    float logits[COUNT * CLASSES] = {0};
    model_result_t result;
    for (int i = 0; i < COUNT; i++) logits[i * CLASSES + (i < 3 ? LABELS[i] : 5)] = 1.0f;
    loss_softmax(&(loss_t){COUNT, COUNT, CLASSES, 0.0}, logits, LABELS, NULL, &result);
    assert_int_equal(result.correct, 3);
    loss_softmax(&(loss_t){COUNT, 2, CLASSES, 0.0}, logits, LABELS, NULL, &result);
    assert_int_equal(result.correct, 2);
}

/* By hand: softmax of (0, log 2, log 5) is (1/8, 2/8, 5/8). With epsilon 0.3 and label 1 the wanted
 * probabilities are (0.1, 0.8, 0.1); the loss is log 8 - 0.8 log 2 - 0.1 log 5. torch 2.15's
 * CrossEntropyLoss(label_smoothing=0.3) gives 1.363980 for these logits. */
static void label_smoothing_by_hand(void **state) {
    (void)state;
    const float logits[3] = {0.0f, (float)log(2), (float)log(5)};
    const double expected[3] = {0.125 - 0.1, 0.25 - 0.8, 0.625 - 0.1};
    float gradient[3];
    model_result_t result;
    loss_softmax(&(loss_t){1, 1, 3, 0.3}, logits, (const int32_t[]){1}, gradient, &result);
    assert_true(fabs(result.loss_sum - (log(8) - 0.8 * log(2) - 0.1 * log(5))) < 1e-7);
    assert_true(fabs(result.loss_sum - 1.363980) < 1e-6);
    for (int j = 0; j < 3; j++) assert_true(fabs((double)gradient[j] - expected[j]) < 1e-7);
}

static void smoothed_gradients_agree_with_finite_differences(void **state) {
    (void)state;
    const float width = 1e-2f;
    float *logits = make_random(COUNT * CLASSES, 1, 1.0), gradient[COUNT * CLASSES];
    model_result_t result, right, left;
    const loss_t loss = {COUNT, COUNT, CLASSES, 0.1};
    loss_softmax(&loss, logits, LABELS, gradient, &result);
    for (int i = 0; i < COUNT * CLASSES; i++) {
        float before = logits[i];
        logits[i] = before + width;
        loss_softmax(&loss, logits, LABELS, NULL, &right);
        logits[i] = before - width;
        loss_softmax(&loss, logits, LABELS, NULL, &left);
        logits[i] = before;
        double slope = (right.loss_sum - left.loss_sum) / (2.0 * (double)width) / COUNT;
        assert_true(fabs(slope - (double)gradient[i]) < 1e-5);
    }
    /* With epsilon 1 every class is wanted alike: equal logits have no gradient. */
    memset(logits, 0, CLASSES * sizeof *logits);
    loss_softmax(&(loss_t){1, 1, CLASSES, 1.0}, logits, LABELS, gradient, &result);
    for (int j = 0; j < CLASSES; j++) assert_true(fabs((double)gradient[j]) < 1e-7);
    free(logits);
}

static int five(int classes, const float *logits, int label) {
    model_result_t result;
    loss_softmax(&(loss_t){1, 1, classes, 0.0}, logits, &(int32_t){label}, NULL, &result);
    return result.correct5;
}

static void counts_the_five_largest(void **state) {
    (void)state;
    const float falling[CLASSES] = {6, 5, 4, 3, 2, 1, 0}, even[CLASSES] = {0};
    const float broken[CLASSES] = {NAN, 1, 1, 1, 1, 1, 1};
    for (int label = 0; label < CLASSES; label++) {
        assert_int_equal(five(CLASSES, falling, label), label < 5);
        assert_int_equal(five(CLASSES, even, label),
                         label < 5); /* the first of equals are larger */
        assert_int_equal(five(5, even, label % 5), 1);
    }
    assert_int_equal(five(CLASSES, broken, 0), 0);
    model_result_t result;
    float logits[2 * CLASSES];
    memcpy(logits, falling, sizeof falling);
    memcpy(logits + CLASSES, falling, sizeof falling);
    loss_softmax(&(loss_t){2, 2, CLASSES, 0.0}, logits, (const int32_t[]){4, 0}, NULL, &result);
    assert_int_equal(result.correct, 1);
    assert_int_equal(result.correct5, 2);
    loss_softmax(&(loss_t){2, 1, CLASSES, 0.0}, logits, (const int32_t[]){4, 0}, NULL, &result);
    assert_int_equal(result.correct5, 1); /* of the valid */
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
        cmocka_unit_test(label_smoothing_by_hand),
        cmocka_unit_test(smoothed_gradients_agree_with_finite_differences),
        cmocka_unit_test(counts_the_five_largest),
        cmocka_unit_test(relu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
