// The senders' SDKs for JavaScript as an oracle: one question a line on stdin,
// one answer a line on stdout, in the same order.
//
//   {op: "sign", sender, secret, body_base64, id?, at?, scheme?} -> {headers}
//   {op: "verify", sender, secret, body_base64, headers}         -> {accepted, why?}
//
// at is in Unix seconds, header names are lower case. {error} means that the
// question could not be put to the SDK; it is never a verdict.
import { createInterface } from 'node:readline';
import { sign as signGitHub, verify as verifyGitHub } from '@octokit/webhooks-methods';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import Stripe from 'stripe';

const stripe = new Stripe('sk_test_unused'); // signs and judges without the network

const senders = {
  stripe: {
    sign: (q) => ({
      'stripe-signature': stripe.webhooks.generateTestHeaderString({
        payload: q.body, secret: q.secret, timestamp: q.at, scheme: q.scheme || 'v1',
      }),
    }),
    verify(q) {
      try {
        stripe.webhooks.constructEvent(q.body, q.headers['stripe-signature'], q.secret);
      } catch (err) {
        return refusal(err, Stripe.errors.StripeSignatureVerificationError);
      }
      return { accepted: true };
    },
  },
  'standard-webhooks': {
    sign: (q) => ({
      'webhook-id': q.id,
      'webhook-timestamp': String(q.at),
      'webhook-signature': new Webhook(q.secret).sign(q.id, new Date(q.at * 1000), q.body),
    }),
    verify(q) {
      try {
        new Webhook(q.secret).verify(q.body, q.headers);
      } catch (err) {
        return refusal(err, WebhookVerificationError);
      }
      return { accepted: true };
    },
  },
  github: {
    sign: async (q) => ({ 'x-hub-signature-256': await signGitHub(q.secret, q.body) }),
    verify: async (q) => ({
      accepted: await verifyGitHub(q.secret, q.body, q.headers['x-hub-signature-256']),
    }),
  },
};

// Only the SDK's own error is a verdict; any other is a fault of ours.
function refusal(err, kind) {
  if (err instanceof kind) return { accepted: false, why: String(err.message).split('\n')[0] };
  throw err;
}

async function answer(line) {
  const q = JSON.parse(line);
  const sender = senders[q.sender];
  if (!sender) throw new Error(`unknown sender ${q.sender}`);
  const bytes = Buffer.from(q.body_base64, 'base64');
  q.body = bytes.toString('utf8');
  if (!Buffer.from(q.body, 'utf8').equals(bytes)) throw new Error('the body is not UTF-8');
  switch (q.op) {
    case 'sign':
      return { headers: await sender.sign(q) };
    case 'verify':
      return sender.verify(q);
  }
  throw new Error(`unknown op ${q.op}`);
}

for await (const line of createInterface({ input: process.stdin })) {
  let said;
  try {
    said = await answer(line);
  } catch (err) {
    said = { error: String(err) };
  }
  process.stdout.write(JSON.stringify(said) + '\n');
}
