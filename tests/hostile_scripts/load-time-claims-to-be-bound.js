// attack: claim to be bound while being compiled, then hang
// deadline: 1
// outcome: any
// retires: any
sendFrame({ t: 'bound', actions: ['login'], us: 1 });
for (;;);
