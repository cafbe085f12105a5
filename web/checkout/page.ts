// Our own checkout page: the element and its boot object are in the document.
import type { Boot } from './boot';
import { define, type HookkeeperCheckout } from './element';

define();
const boot = document.getElementById('hk-boot')!.textContent;
document.querySelector<HookkeeperCheckout>('hookkeeper-checkout')!.boot = JSON.parse(boot!) as Boot;
