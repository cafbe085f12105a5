// The element for pages on other sites: one script tag, then
// <hookkeeper-checkout src="…/checkout/{cid}" return="…">.
import { define } from './element';

define();
