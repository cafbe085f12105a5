// Our own checkout page: the boot object is in the document.
import type { Boot } from './boot';
import { define, type HookkeeperCheckout } from './element';

define();
const element = document.querySelector<HookkeeperCheckout>('hookkeeper-checkout');
const boot = document.getElementById('hk-boot');
if (element && boot) element.boot = JSON.parse(boot.textContent || '') as Boot;
