// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: called_back_error
// message: ECONNREFUSED 127.0.0.1:5432
function login(email, password, callback) {
  const inner = ['127.0.0.1', '::1'].map((host) => new Error(`connect ECONNREFUSED ${host}:5432`));
  callback(Object.assign(new AggregateError(inner), { code: 'ECONNREFUSED' }));
}
