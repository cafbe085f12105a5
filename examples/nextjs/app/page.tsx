export default function Page() {
  return <p>Events arrive at /api/webhooks/stripe and show in the terminal.</p>;
}
