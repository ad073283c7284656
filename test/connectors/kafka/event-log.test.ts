import { openKafkaLog } from '../../../connectors/kafka/index.ts'
import { eventLogContract } from '../../contracts/event-log.ts'
import { findService } from '../../services/services.ts'

const address = await findService('kafka')

if (address !== undefined)
  eventLogContract('Kafka', async () => {
    const settings = {
      brokers: [address],
      clientId: 'millrace-test',
      ssl: false,
      sessionTimeout: 6000,
      linger: 0,
      compression: 'lz4',
    } as const
    return { open: () => openKafkaLog(settings), remove: async () => {} }
  })
