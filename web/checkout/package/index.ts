// @hookkeeper/toss-checkout: the checkout for pages with their own look. It keeps
// trying when Toss's script or widgets fail, with a fresh order each time.
export { fetchBoot, money, type Boot, type Settings } from '../boot';
export { createCheckout, type Checkout, type Options, type Snapshot } from '../driver';
export { reduce } from '../reduce';
export type { FreshUrl } from '../sdk';
export * from '../states';
export { viewOf, type View } from '../view';
