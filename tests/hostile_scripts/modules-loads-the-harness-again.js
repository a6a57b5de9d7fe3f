// attack: run the harness a second time inside the process, to have a second voice on the channel
// outcome: any
// deadline: 2
function login(email, password, callback) {
  import(`${configuration.harness}?again`).then(
    () => setTimeout(() => callback(null, { user_id: 1 }), 100),
    callback,
  );
}
