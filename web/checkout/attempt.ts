// One attempt: an order and the script, then the widgets. It knows whether it is
// still wanted; whatever arrives for a dead one puts itself away.
import { ANONYMOUS, type TossPaymentsSDK, type TossPaymentsWidgets } from '@tosspayments/tosspayments-sdk';
import type { Api } from './api';
import type { Boot, Settings } from './boot';
import { failOf } from './fails';
import type { Effect, Order, ScriptMode } from './states';
import { pause } from './timers';

type Handle = { destroy(): Promise<void> };

/** What an attempt needs of its driver. */
export interface Ground {
  readonly boot: Boot;
  readonly settings: Settings;
  readonly api: Api;
  readonly load: (clientKey: string, mode: ScriptMode, gen: number) => Promise<TossPaymentsSDK>;
  /** Where the widgets go: in the light DOM, for Toss looks its selectors up in the document. */
  readonly place: HTMLElement;
  ordered(order: Order): void;
  loaded(): void;
  /** Ends when no older widget is left in the document. */
  cleared(): Promise<unknown>;
  /** Ends when the server was asked about an earlier payment, if it has to be. */
  readonly checked: Promise<unknown>;
}

export type Attempt = ReturnType<typeof attempt>;

export function attempt({ gen, reason, supersedes, script }: Extract<Effect, { type: 'attempt' }>, ground: Ground) {
  const { boot, settings, api, place } = ground;
  const handles: Handle[] = [];
  const renders: Promise<unknown>[] = [];
  const nodes: HTMLElement[] = [];
  const abort = new AbortController();
  let dead = false;
  let widgets: TossPaymentsWidgets | undefined;

  /** Throws when a newer attempt has begun; the driver ignores what a dead one throws. */
  const alive = (): void => {
    if (dead) throw null;
  };

  async function order(): Promise<Order> {
    await ground.checked;
    alive();
    const first = reason === 'start';
    if (first && boot.fail) throw failOf(boot.fail.code, boot.fail);
    const issued = (first && boot.order) || (await api.order(gen, supersedes, reason, abort.signal));
    alive();
    ground.ordered(issued);
    return issued;
  }

  /** Fresh nodes for each attempt: what a late widget still draws is drawn outside the document. */
  function node(name: string, variantKey: string) {
    const div = document.createElement('div');
    div.id = name + gen;
    place.append(div);
    nodes.push(div);
    return { selector: '#' + div.id, ...(variantKey ? { variantKey } : {}) };
  }

  /** Each handle is kept the moment it arrives, so that a rejection of one leaks no other. */
  const keep = (handle: Handle): unknown => (dead ? put(handle) : handles.push(handle));

  return {
    /** Ends when both widgets are rendered; rejects at the first failure. */
    async run(): Promise<void> {
      if (window.top !== window.self) throw failOf('FRAMED');
      const loading = ground.load(boot.clientKey, script, gen);
      loading.catch(() => {}); // the order may fail first
      const { amount: value, currency } = await order();
      const sdk = await loading;
      alive();
      ground.loaded();
      widgets = sdk.widgets({ customerKey: boot.customerKey || ANONYMOUS });
      await widgets.setAmount({ currency, value });
      await ground.cleared();
      alive();
      renders.push(widgets.renderPaymentMethods(node('hk-pm-', settings.methodsVariant)).then(keep));
      renders.push(widgets.renderAgreement(node('hk-ag-', settings.agreementVariant)).then(keep));
      await Promise.all(renders);
      alive();
    },
    /** Toss's widgets, once there are any. */
    widgets: () => widgets,
    /** Puts everything away; ends when it is gone, or after the settled time. */
    async end(): Promise<void> {
      dead = true;
      abort.abort();
      // A widget under way keeps its node until it can be put away: without one it never ends, and Toss holds it for rendered.
      const going = renders.map((render) => render.catch(() => {}));
      await Promise.race([Promise.all([...handles.map(put), ...going]), pause(settings.destroy)]);
      nodes.splice(0).forEach((old) => old.remove());
    },
  };
}

/** Its node goes all the same when a widget cannot be destroyed. */
async function put(handle: Handle): Promise<void> {
  try {
    await handle.destroy();
  } catch {}
}
