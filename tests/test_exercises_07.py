"""The checks of chapter 7: right answers pass, stubs and usual slips are told why."""

import torch
from judged import judged, stub

from genre2_mini.exercises.chapter_07 import (
    check_cosine_to_exact,
    check_fresh_again,
    check_noise,
    check_reinforce_loss,
    check_score,
)
from genre2_mini.objectives import ExactPolicyGradient
from genre2_mini.rewards import squared_error_reward
from genre2_mini.rollouts import tree_rollout

# The loss


def product_then_mean(log_prob, reward):
    return -(log_prob * reward.detach()).mean()


def reward_not_detached(log_prob, reward):
    return -(log_prob * reward).mean()


def means_then_product(log_prob, reward):
    return -log_prob.mean() * reward.detach().mean()


def summed(log_prob, reward):
    return -(log_prob * reward.detach()).sum()


def summed_over_samples(log_prob, reward):
    return -(log_prob * reward.detach()).sum(dim=1).mean()


def ascending(log_prob, reward):
    return (log_prob * reward.detach()).mean()


def all_detached(log_prob, reward):
    return -(log_prob.detach() * reward.detach()).mean()


# The score


def one_hot_minus_p(p, token):
    return torch.eye(len(p), dtype=p.dtype)[token] - p


def of_cross_entropy(p, token):
    return -one_hot_minus_p(p, token)


def only_the_drawn(p, token):
    return torch.eye(len(p), dtype=p.dtype)[token] * (1 - p[token])


# The noise


def second_moment_minus_squared_mean(p, reward, score, num_samples):
    each = reward[:, None] * score
    second = p @ each.square().sum(dim=1)
    return (second - (p @ each).square().sum()) / num_samples


def second_moment(p, reward, score, num_samples):
    return p @ (reward[:, None] * score).square().sum(dim=1) / num_samples


def of_one_string(p, reward, score, num_samples):
    return second_moment_minus_squared_mean(p, reward, score, 1)


def a_deviation(p, reward, score, num_samples):
    return second_moment_minus_squared_mean(p, reward, score, num_samples) ** 0.5


# Strings of an older policy


def ratio_alone(log_prob, old_log_prob, reward):
    return -((log_prob - old_log_prob).exp() * reward).mean()


def ratio_as_a_weight(log_prob, old_log_prob, reward):
    ratio = (log_prob - old_log_prob).exp().detach()
    return -(ratio * log_prob * reward).mean()


def reinforce(log_prob, old_log_prob, reward):
    return -(log_prob * reward).mean()


def ratio_upside_down(log_prob, old_log_prob, reward):
    ratio = (old_log_prob - log_prob).exp().detach()
    return -(ratio * log_prob * reward).mean()


def ratio_differentiated_twice(log_prob, old_log_prob, reward):
    return -((log_prob - old_log_prob).exp() * log_prob * reward).mean()


def summed_ratios(log_prob, old_log_prob, reward):
    return len(reward) * ratio_alone(log_prob, old_log_prob, reward)


def ratio_without_gradient(log_prob, old_log_prob, reward):
    return -((log_prob - old_log_prob).exp().detach() * reward).mean()


# The oracle


def gradient_of(loss, policy):
    gradients = torch.autograd.grad(loss, list(policy.parameters()))
    return torch.cat([g.flatten() for g in gradients])


def gradients(loss_of, policy, x, z, num_samples, calls):
    generator = torch.Generator().manual_seed(0)
    for _ in range(calls):
        rollout = tree_rollout(policy, x, num_samples, generator=generator)
        value = policy.tokenizer.decode(rollout.tokens)
        reward = squared_error_reward(value, z[rollout.owner])
        yield gradient_of(loss_of(rollout, reward), policy)


def exact(policy, x, z):
    [(loss, _)] = ExactPolicyGradient().losses(policy, x, z)
    return gradient_of(loss, policy)


def cosine_of_the_mean(loss_of, policy, x, z):
    total = sum(gradients(loss_of, policy, x, z, num_samples=256, calls=10))
    return torch.cosine_similarity(total, exact(policy, x, z), dim=0).item()


def mean_of_the_cosines(loss_of, policy, x, z):
    found = torch.stack(list(gradients(loss_of, policy, x, z, 4, calls=50)))
    return torch.cosine_similarity(found, exact(policy, x, z)[None]).mean().item()


def without_sign(loss_of, policy, x, z):
    return abs(cosine_of_the_mean(loss_of, policy, x, z))


RIGHT = [
    (check_reinforce_loss, product_then_mean),
    (check_score, one_hot_minus_p),
    (check_noise, second_moment_minus_squared_mean),
    (check_fresh_again, ratio_alone),
    (check_fresh_again, ratio_as_a_weight),
    (check_cosine_to_exact, cosine_of_the_mean),
]
WRONG = [
    (check_reinforce_loss, stub, "is None"),
    (check_reinforce_loss, reward_not_detached, "detach it"),
    (check_reinforce_loss, means_then_product, "multiply before the mean"),
    (check_reinforce_loss, summed, "it sums somewhere"),
    (check_reinforce_loss, summed_over_samples, "it sums somewhere"),
    (check_reinforce_loss, ascending, "the sign"),
    (check_reinforce_loss, lambda log_prob, r: -log_prob.mean(), "the loss is"),
    (check_reinforce_loss, all_detached, "log_prob must keep its own"),
    (check_score, stub, "is None"),
    (check_score, lambda p, token: p, "the score of token 0"),
    (check_score, of_cross_entropy, "the drawn token's logit goes up"),
    (check_score, only_the_drawn, "p is a softmax"),
    (check_noise, stub, "is None"),
    (check_noise, second_moment, "take the mean's own off"),
    (check_noise, of_one_string, "the variance of one string"),
    (check_noise, a_deviation, "that is its root"),
    (check_fresh_again, stub, "return a loss"),
    (check_fresh_again, reinforce, "not as it would be now"),
    (check_fresh_again, ratio_upside_down, "upside down"),
    (check_fresh_again, ratio_differentiated_twice, "one is enough"),
    (check_fresh_again, summed_ratios, "strings of the old policy"),
    (check_fresh_again, ratio_without_gradient, "no gradient"),
    (check_cosine_to_exact, stub, "return the cosine"),
    (check_cosine_to_exact, lambda *_: 1.0, "with the other sign"),
    (check_cosine_to_exact, without_sign, "with the other sign"),
    (check_cosine_to_exact, mean_of_the_cosines, "many rollouts first"),
]

test_a_right_answer_is_correct, test_a_wrong_answer_is_told_why = judged(RIGHT, WRONG)
