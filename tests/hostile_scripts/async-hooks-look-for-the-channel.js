// attack: watch every asynchronous resource, to find the harness's own
// value: {"user_id":1}
// then_value: {"user_id":1}
function login(email, password, callback) {
  const hooks = require('async_hooks');
  global.caught ??= [];
  hooks.createHook({ init: (_id, type, _trigger, resource) => global.caught.push([type, resource]) }).enable();
  setImmediate(() => {
    for (const [, resource] of global.caught) {
      try {
        resource.close?.();
      } catch {}
    }
    callback(null, { user_id: 1 });
  });
}
